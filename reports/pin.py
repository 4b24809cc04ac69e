"""A private key under a PIN: PKCS#8 EncryptedPrivateKeyInfo, PBES2 with scrypt and AES-256-CBC. [adapter]

RFC 5958 (PKCS#8), RFC 8018 (PBES2), RFC 7914 (scrypt in PBES2). ``openssl pkey`` opens what is made here.
The cost (N=2^14, r=8, p=5) takes 16 MiB and about 0.2 s a try; OpenSSL refuses more than 32 MiB.
"""

import os

from asn1crypto import core
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

COST_N, COST_R, COST_P = 2**14, 8, 5
KEY_BYTES = 32
BLOCK_BYTES = 16
OID_PBES2 = "1.2.840.113549.1.5.13"
OID_SCRYPT = "1.3.6.1.4.1.11591.4.11"
OID_AES256_CBC = "2.16.840.1.101.3.4.1.42"


class WrongPinError(Exception):
    """The key does not open with this PIN. Carries no part of either."""

    code = "wrong_pin"

    def __init__(self) -> None:
        super().__init__(self.code)
        self.params: dict[str, object] = {}


class _ScryptParams(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012 (asn1crypto reads a list)
        ("salt", core.OctetString),
        ("cost", core.Integer),
        ("block_size", core.Integer),
        ("parallelization", core.Integer),
        ("key_length", core.Integer, {"optional": True}),
    ]


class _Kdf(core.Sequence):  # type: ignore[misc]
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", _ScryptParams)]  # noqa: RUF012


class _Encryption(core.Sequence):  # type: ignore[misc]
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", core.OctetString)]  # noqa: RUF012


class _Pbes2Params(core.Sequence):  # type: ignore[misc]
    _fields = [("kdf", _Kdf), ("encryption", _Encryption)]  # noqa: RUF012


class _Pbes2(core.Sequence):  # type: ignore[misc]
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", _Pbes2Params)]  # noqa: RUF012


class _EncryptedPrivateKeyInfo(core.Sequence):  # type: ignore[misc]
    _fields = [("encryption", _Pbes2), ("data", core.OctetString)]  # noqa: RUF012


def encrypt_key(pkcs8: bytes, pin: bytes | bytearray) -> bytes:
    """DER EncryptedPrivateKeyInfo of a DER PrivateKeyInfo; ``pin`` is UTF-8."""
    salt, iv = os.urandom(16), os.urandom(BLOCK_BYTES)
    secret = Scrypt(salt=salt, length=KEY_BYTES, n=COST_N, r=COST_R, p=COST_P).derive(pin)
    padding = BLOCK_BYTES - len(pkcs8) % BLOCK_BYTES
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).encryptor()
    encrypted = encryptor.update(pkcs8 + bytes([padding]) * padding) + encryptor.finalize()
    return _envelope(salt, iv, encrypted)


def _envelope(salt: bytes, iv: bytes, encrypted: bytes) -> bytes:
    params = {"salt": salt, "cost": COST_N, "block_size": COST_R, "parallelization": COST_P, "key_length": KEY_BYTES}
    pbes2 = {
        "kdf": {"algorithm": OID_SCRYPT, "parameters": params},
        "encryption": {"algorithm": OID_AES256_CBC, "parameters": iv},
    }
    envelope = {"encryption": {"algorithm": OID_PBES2, "parameters": pbes2}, "data": encrypted}
    der: bytes = _EncryptedPrivateKeyInfo(envelope).dump()
    return der


def decrypt_key(encrypted_pkcs8: bytes, pin: bytes | bytearray) -> bytearray:
    """The DER PrivateKeyInfo, in a buffer the caller wipes. Raises WrongPinError; ValueError: not such a key."""
    envelope = _EncryptedPrivateKeyInfo.load(encrypted_pkcs8, strict=True)
    pbes2 = envelope["encryption"]["parameters"]
    if envelope["encryption"]["algorithm"].dotted != OID_PBES2 or pbes2["kdf"]["algorithm"].dotted != OID_SCRYPT:
        raise ValueError("not PBES2 with scrypt")
    cost = pbes2["kdf"]["parameters"].native
    secret = Scrypt(
        salt=cost["salt"], length=KEY_BYTES, n=cost["cost"], r=cost["block_size"], p=cost["parallelization"]
    ).derive(pin)
    decryptor = Cipher(algorithms.AES(secret), modes.CBC(pbes2["encryption"]["parameters"].native)).decryptor()
    return _unpadded(bytearray(decryptor.update(envelope["data"].native) + decryptor.finalize()))


def _unpadded(plain: bytearray) -> bytearray:
    """PKCS#7 padding taken off; a wrong key leaves wrong padding, or once in 256 bytes that are no SEQUENCE."""
    padding = plain[-1] if plain else 0
    is_padded = 1 <= padding <= BLOCK_BYTES and plain.endswith(bytes([padding]) * padding)
    if not is_padded or not _is_whole_sequence(plain[:-padding]):
        raise WrongPinError
    del plain[-padding:]
    return plain


def _is_whole_sequence(der: bytearray) -> bool:
    try:
        return len(core.Sequence.load(bytes(der), strict=True).dump()) == len(der)
    except (ValueError, TypeError):
        return False


def wipe(buffer: bytearray) -> None:
    """Zeroes over a secret, in place."""
    buffer[:] = bytes(len(buffer))
