"""The tables of people, their roles, sessions and signing keys. [store]"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base


class Account(Base):
    """A person who logs in. ``kinds`` are what a reader is qualified for: image, ecg."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(64))
    name_en: Mapped[str] = mapped_column(String(64), default="")
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), index=True)
    # One role a person: technician reader reviewer trainee clinician manager admin
    role: Mapped[str] = mapped_column(String(32))
    kinds: Mapped[list[Any]] = mapped_column(default=list)
    licence_number: Mapped[str] = mapped_column(String(32), default="")
    licence_valid_until: Mapped[date | None]
    password_hash: Mapped[str] = mapped_column(String(255))
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    language: Mapped[str | None] = mapped_column(String(8))
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class LoginSession(Base):
    """A browser session or an API token; only a hash of its secret is kept."""

    __tablename__ = "login_session"
    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    sitting: Mapped[str] = mapped_column(String(64), unique=True)  # names the session in audit rows and on /admin
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))  # browser | token
    csrf_token: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(32))  # logout | idle | revoked
    source: Mapped[str] = mapped_column(String(64), default="")


class SigningKey(Base):
    """A doctor's private key, only ever stored encrypted under a key derived from the PIN (PKCS#8, scrypt)."""

    __tablename__ = "signing_key"
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    encrypted_pkcs8: Mapped[bytes] = mapped_column(LargeBinary)
    certificate_pem: Mapped[str] = mapped_column(Text)
    serial: Mapped[str] = mapped_column(String(64))
    valid_until: Mapped[datetime]
    failed_pins: Mapped[int] = mapped_column(default=0)
    locked_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
