"""A signing process: opens one key with one PIN, signs one document, forgets both; then waits for the next. [adapter]

Started by ``reports.signing_pool`` and spoken to over its standard input and output only. No core dump,
not traceable, standard error closed: what is not written cannot leak. Answers carry codes, never text
of an exception, because texts may quote their input.
"""

import contextlib
import ctypes
import gc
import hashlib
import os
import resource
import sys
from datetime import datetime
from typing import Any

from reports.pin import WrongPinError, decrypt_key, wipe
from reports.sign import SignError, Signing, Tsa, sign
from reports.signing_wire import WireError, decode, encode

PR_SET_DUMPABLE = 4


def harden() -> None:
    """No core file, no ptrace and no /proc/<pid>/mem for the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def answer(head: dict[str, Any], blobs: dict[str, bytearray]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(head, blobs) of the answer: ``code`` "signed" with ``pdf``, or a refusal's code and parameters."""
    try:
        return {"code": "signed"}, {"pdf": _signed(head, blobs)}
    except (SignError, WrongPinError) as error:
        return {"code": error.code, "params": error.params}, {}
    except Exception as error:  # whatever it was: its class is told, its words are not
        return {"code": "signing_failed", "params": {"kind": type(error).__name__}}, {}
    finally:
        for secret in ("pin", "encrypted_key"):
            wipe(blobs[secret])


def _signed(head: dict[str, Any], blobs: dict[str, bytearray]) -> bytes:
    document = bytes(blobs["document"])
    if hashlib.sha256(document).hexdigest() != head["expected_sha256"]:
        raise SignError("digest_mismatch")
    key = decrypt_key(bytes(blobs["encrypted_key"]), blobs["pin"])
    try:
        return sign(document, _signing(head, blobs), key)
    finally:
        wipe(key)


def _signing(head: dict[str, Any], blobs: dict[str, bytearray]) -> Signing:
    tsa = Tsa(bytes(blobs["tsa_certificate"]), bytes(blobs["tsa_key"])) if "tsa_key" in blobs else None
    return Signing(
        field=head["field"],
        certificate_pem=bytes(blobs["certificate"]),
        ca_pem=bytes(blobs["ca"]),
        signer_name=head["signer_name"],
        signed_at=datetime.fromisoformat(head["signed_at"]),
        stamp_pdf=bytes(blobs["stamp"]) if "stamp" in blobs else None,
        tsa=tsa,
    )


def _read_exactly(n_bytes: int) -> bytearray:
    """Exactly so many bytes of standard input, in one buffer that can be wiped. Raises WireError at its end."""
    buffer = bytearray(n_bytes)
    view, filled = memoryview(buffer), 0
    while filled < n_bytes:
        n_read = os.readv(0, [view[filled:]])
        if n_read == 0:
            raise WireError("closed")
        filled += n_read
    view.release()
    return buffer


def main() -> None:
    """Says it is ready, then answers until standard input ends: the server closed it, or died."""
    harden()
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a stray print must not look like an answer
    ready: tuple[dict[str, Any], dict[str, bytes]] = ({"code": "ready"}, {})
    gc.freeze()
    _write(answers, ready)
    while True:
        try:
            head, blobs = decode(_read_exactly)
        except WireError:
            return
        _write(answers, answer(head, blobs))
        del head, blobs
        _give_back_memory()


def _give_back_memory() -> None:
    """scrypt's 16 MiB and the document go back to the system, overwritten by whoever gets them next."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _write(descriptor: int, message: tuple[dict[str, Any], dict[str, bytes]]) -> None:
    for part in encode(*message):
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main()
    sys.exit(0)
