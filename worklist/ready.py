"""A process tells whoever started it that it is ready: systemd's protocol (sd_notify(3)). [adapter]

Understood by systemd (Type=notify) and by ``worklist.supervisor`` alike.
"""

import os
import socket


def tell_ready() -> None:
    """Send READY=1 to NOTIFY_SOCKET; does nothing where nobody asked, or where the asker is gone."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(b"READY=1", address)
        except OSError:
            return
