"""The adapter functions that pages of administration call, joined with settings and files. [app]"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from cryptography.x509 import ReasonFlags

from pacs_bridge import scu
from pacs_bridge.header_dump import header_elements
from reports.certificate import DoctorKey, open_authority
from reports.delivery_store import site_deliveries
from worklist.roof import Roof
from worklist.tls import certificate_facts

# Someone waits in front of a page.
ECHO_TIMEOUTS = scu.Timeouts(connect_s=4.0, negotiation_s=4.0, response_s=6.0)


def admin_adapters(roof: Roof) -> dict[str, Callable[..., Any]]:
    """By the names that the pages use."""

    def echo(host: str, port: int, called_ae: str) -> dict[str, Any]:
        """C-ECHO: its outcome (as ``scu.EchoResult``) and how long it took."""
        started = time.monotonic()
        found = scu.echo(host, port, called_ae=called_ae, calling_ae=roof.settings.ae_title, timeouts=ECHO_TIMEOUTS)
        duration_ms = round(1000 * (time.monotonic() - started))
        status = f"{found.status:04X}" if found.status is not None else None
        return {"outcome": found.outcome, "status": status, "detail": found.detail, "duration_ms": duration_ms}

    def headers_of(blob_key: str) -> list[dict[str, str]]:
        return header_elements(roof.blobs.path(blob_key))

    def new_doctor_key(name: str, licence: str, may_review: bool, pin: str, now: datetime) -> DoctorKey:
        return open_authority(roof.keys_dir, now).new_doctor_key(name, licence, may_review, pin, now)

    def revoke_certificate(serial: str, reason: str, now: datetime) -> None:
        """Put a certificate on the revocation list; a second time changes nothing."""
        open_authority(roof.keys_dir, now).revoke(serial, now, ReasonFlags[reason])

    return {
        "echo": echo, "certificate_facts": certificate_facts, "headers_of": headers_of,
        "new_doctor_key": new_doctor_key,
        "revoke_certificate": revoke_certificate, "site_deliveries": site_deliveries,
    }  # fmt: skip
