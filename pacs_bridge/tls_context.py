"""TLS of the DICOM port: who may speak it and how, its files read anew when they change. [adapter]

PS3.15 B.9 (Non-Downgrading BCP 195): TLS 1.2 or 1.3, forward secrecy and authenticated encryption only, a client
certificate always. A peer that cannot is refused; nothing falls back.
"""

import hashlib
import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# RFC 9325 4.2, as PS3.15 B.9 names them; TLS 1.3 has only good ones.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"
)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: our chain, its key, and the authorities whose clients are let in."""

    certificate: Path
    key: Path
    authorities: Path


class ServerTls:
    """The context for new connections. Raises OSError or ssl.SSLError where the files are no use at the start."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._context = self._make()

    def context(self) -> ssl.SSLContext:
        """Of the files as they are now; of those before, while the new ones cannot be read together."""
        with self._lock:
            try:
                stamp = self._look()
                if stamp != self._stamp:
                    self._context, self._stamp = self._make(), stamp
                    log.warning("TLS certificates read anew")
            except OSError as error:  # ssl.SSLError is one: a key that is half replaced
                log.error("TLS certificates not read anew: %s", type(error).__name__)
            return self._context

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        found = [path.stat() for path in (self._files.certificate, self._files.key, self._files.authorities)]
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.num_tickets = 0  # a resumed session would outlive a withdrawn certificate
        context.load_cert_chain(self._files.certificate, self._files.key)
        context.load_verify_locations(self._files.authorities)
        return context


def fingerprint(sock: ssl.SSLSocket) -> str | None:
    """SHA-256 of the peer's certificate, hex."""
    certificate = sock.getpeercert(binary_form=True)
    return hashlib.sha256(certificate).hexdigest() if certificate else None


def refusal_of(error: OSError) -> str | None:
    """What the audit trail calls a failed handshake; None: nobody tried, the line was silent or went away.

    Never the library's sentence, which may quote the peer.
    """
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate_expired" if error.verify_code == 10 else "certificate_untrusted"  # X509_V_ERR
    if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "certificate_missing"
    return "tls_failed"
