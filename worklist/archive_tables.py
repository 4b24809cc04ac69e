"""What an archive holds of ours, and how far we have followed what others brought to it. [store]"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base

WAITING, STORED, DIFFERS = "waiting", "stored", "differs"


class ArchiveCopy(Base):
    """The copy of one stored file in one archive. ``differs``: the archive has other bytes under these UIDs."""

    __tablename__ = "archive_copy"
    archive: Mapped[str] = mapped_column(String(200), primary_key=True)  # its name: address without credentials
    blob_key: Mapped[str] = mapped_column(String(160), primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    md5: Mapped[str] = mapped_column(String(32), default="")  # "" until the copy is begun
    state: Mapped[str] = mapped_column(String(32), default=WAITING)
    stored_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]  # last use known of the local file
    evicted_at: Mapped[datetime | None]  # the local file was let go; None: it is here
    __table_args__ = (Index("ix_archive_copy_local", "archive", "state", "evicted_at", "used_at"),)


class ArchivePosition(Base):
    """How far something has come that goes on from where it stopped: ``copied:NAME``, ``followed:NAME``."""

    __tablename__ = "archive_position"
    name: Mapped[str] = mapped_column(String(220), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)
