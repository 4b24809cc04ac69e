"""Identity numbers sealed with AES-GCM and found again by a keyed hash; one key file of this installation. [adapter]

The database alone tells nobody a number: neither the sealed text nor the hash can be turned back, or
tried out, without the key. Losing the key file loses the numbers and nothing else.
"""

import base64
import hmac
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worklist.id_number import IdNumber

KEY_FILE = "person-index.key"
_HALF_BYTES, _NONCE_BYTES = 32, 12


class NumberVault:
    """``worklist.person_service.Vault`` on a key file."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 2 * _HALF_BYTES:
            raise ValueError("the key of the person index has 64 bytes")
        self._cipher, self._hash_key = AESGCM(key[:_HALF_BYTES]), key[_HALF_BYTES:]

    def seal(self, number: IdNumber) -> str:
        """The number encrypted, bound to its kind."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, number.value.encode(), number.kind.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, kind: str, sealed: str) -> IdNumber:
        """The number again. Raises cryptography.exceptions.InvalidTag for another key or kind."""
        content = base64.b64decode(sealed)
        plain = self._cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], kind.encode())
        return IdNumber(kind, plain.decode())

    def digest(self, number: IdNumber) -> str:
        """HMAC-SHA256 of kind and number, hex: equal for equal numbers, told to nobody without the key."""
        return hmac.new(self._hash_key, f"{number.kind}:{number.value}".encode(), "sha256").hexdigest()


def open_vault(keys_dir: Path) -> NumberVault:
    """The vault of this installation, its key made at the first call; of two processes at once one makes it."""
    path = keys_dir / KEY_FILE
    if not path.exists():
        keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = keys_dir / f".{KEY_FILE}.{secrets.token_hex(8)}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(2 * _HALF_BYTES))
            stream.flush()
            os.fsync(descriptor)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        folder = os.open(keys_dir, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return NumberVault(path.read_bytes())
