"""Where the web server may listen: beyond this machine only with TLS, ours or a proxy's. [domain]"""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; a name other than ``localhost`` counts as reachable."""
    name = host.strip().strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def bind_refusal(host: str, *, has_tls: bool, is_behind_proxy: bool, is_demo: bool) -> str | None:
    """Why ``host`` may not be bound, in both languages and with the way out; None where it may.

    An empty ``host`` means every interface.
    """
    if is_loopback(host):
        return None
    if is_demo:
        return (
            f"--demo 只能监听本机地址，不能监听 {host or '*'}：演示口令不得暴露于网络；"
            "设 TELEREAD_HTTP_HOST 与 TELEREAD_DICOM_HOST 为 127.0.0.1 / "
            f"--demo listens on this machine only, not on {host or '*'}: demo passwords must not face a network; "
            "set TELEREAD_HTTP_HOST and TELEREAD_DICOM_HOST to 127.0.0.1"
        )
    if has_tls or is_behind_proxy:
        return None
    return (
        f"TELEREAD_HTTP_HOST={host or '*'}：超出本机而无 TLS，拒绝启动；运行 teleread tls 并设 TELEREAD_TLS_CERT 与 "
        "TELEREAD_TLS_KEY，或由代理提供 TLS 时设 TELEREAD_BEHIND_PROXY=1 / "
        f"TELEREAD_HTTP_HOST={host or '*'}: beyond this machine without TLS, refusing to start; run teleread tls and "
        "set TELEREAD_TLS_CERT and TELEREAD_TLS_KEY, or set TELEREAD_BEHIND_PROXY=1 where a proxy ends TLS"
    )
