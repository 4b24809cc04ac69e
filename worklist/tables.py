"""The tables of sites, people, orders, studies and reading work. [store]

Names are DICOM keywords in snake case. ``*_at`` are aware UTC moments. Accounts have their own
module (``account_tables``); audit, events and the outbox live in ``worklist.base``.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base

Uid = String(64)
Code = String(32)


def searched(length: int) -> String:
    """Text that is found by its beginning: ordered by code point on both databases, so that an index serves it."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Site(Base):
    """An institution of the consortium; the issuer of its own patient IDs."""

    __tablename__ = "site"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(Code, unique=True)
    name_zh: Mapped[str] = mapped_column(String(128))
    name_en: Mapped[str] = mapped_column(String(128))
    reads: Mapped[bool] = mapped_column(default=False)
    # {"CT": 2, "*": 1}: how many signatures a report on a study of that modality needs.
    signatures_by_modality: Mapped[dict[str, Any]] = mapped_column(default=dict)
    accession_prefix: Mapped[str] = mapped_column(String(4), default="")
    return_ae_title: Mapped[str | None] = mapped_column(String(16))
    return_host: Mapped[str | None] = mapped_column(String(255))
    return_port: Mapped[int | None]
    return_character_set: Mapped[str] = mapped_column(Code, default="ISO_IR 192")
    enabled: Mapped[bool] = mapped_column(default=True)


class Device(Base):
    """A registered modality: what may talk to the listener, from where, for which services."""

    __tablename__ = "device"
    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), index=True)
    ae_title: Mapped[str] = mapped_column(String(16), unique=True)
    name: Mapped[str] = mapped_column(String(64), default="")
    modality: Mapped[str] = mapped_column(String(16))
    address_range: Mapped[str] = mapped_column(String(64))  # CIDR, e.g. 10.21.3.11/32
    services: Mapped[list[Any]] = mapped_column(default=list)  # of worklist.admin_service.SERVICES
    quiet_time_s: Mapped[int] = mapped_column(default=20)
    fallback_character_set: Mapped[str] = mapped_column(Code, default="GB18030")
    character_set: Mapped[str] = mapped_column(Code, default="ISO_IR 192")  # what it can show; we answer in it
    certificate_sha256: Mapped[str | None] = mapped_column(String(64), unique=True)  # of its TLS client certificate
    certificate_valid_until: Mapped[datetime | None]
    host: Mapped[str | None] = mapped_column(String(255))  # its own SCP: move destination, commitment results
    port: Mapped[int | None]
    sees: Mapped[str] = mapped_column(Code, default="site")  # site | all: whose studies it may query
    move_destinations: Mapped[list[Any]] = mapped_column(default=list)  # AE titles beyond its own site's
    exception_reason: Mapped[str | None] = mapped_column(String(256))  # why it may query without a certificate
    # Whose workstation it is: in that licensed reader's name it claims reading work by UPS.
    performs_as: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    enabled: Mapped[bool] = mapped_column(default=True)
    last_seen_at: Mapped[datetime | None]


class Patient(Base):
    """A person as one site knows them: a Patient ID is unique only with its issuer, the site.

    The same ID under another name, sex or birth date is another row: re-used numbers are real, and
    a wrong merge shows a stranger's priors. ``identity_key`` is ``worklist.person.identity_key``.
    """

    __tablename__ = "patient"
    __table_args__ = (
        UniqueConstraint("site_id", "identity_key"),
        Index("ix_patient_site_id_patient_id", "site_id", "patient_id"),
        Index("ix_patient_patient_id", "patient_id"),
        # With the site, so that what others have of a common surname is left out before any row is read.
        *(Index(f"ix_patient_{name}_site_id", name, "site_id", postgresql_include=["id"])
          for name in ("name", "name_pinyin", "name_initials", "name_alphabetic")),
    )  # fmt: skip
    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    identity_key: Mapped[str] = mapped_column(String(64))
    patient_id: Mapped[str | None] = mapped_column(searched(64))  # None: the object carried none
    name: Mapped[str] = mapped_column(searched(256))
    name_pinyin: Mapped[str] = mapped_column(searched(512), default="")
    name_initials: Mapped[str] = mapped_column(searched(64), default="")
    # As the first object wrote it, Zheng^Liqun=郑^立群 ("" where there was none yet), and its first group to search by.
    name_sent: Mapped[str] = mapped_column(String(256), default="")
    name_alphabetic: Mapped[str] = mapped_column(searched(256), default="")
    sex: Mapped[str | None] = mapped_column(String(1))  # M, F, O
    birth_date: Mapped[date | None] = mapped_column(index=True)
    name_is_doubtful: Mapped[bool] = mapped_column(default=False)


class Order(Base):
    """A request for an examination; made by a technician, or from the object that came without one."""

    __tablename__ = "imaging_order"
    __table_args__ = (UniqueConstraint("site_id", "accession_number"),)
    order_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), index=True)
    accession_number: Mapped[str] = mapped_column(String(16))
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    modality: Mapped[str] = mapped_column(String(16))
    body_part: Mapped[str] = mapped_column(String(64), default="")
    complaint: Mapped[str] = mapped_column(Text, default="")
    question: Mapped[str] = mapped_column(Text, default="")
    priority: Mapped[str] = mapped_column(Code, default="routine")
    pathway: Mapped[str | None] = mapped_column(Code)  # chest_pain | stroke: the green channels
    requesting_doctor: Mapped[str] = mapped_column(String(64), default="")
    made_from_object: Mapped[bool] = mapped_column(default=False)  # 无申请单
    study_instance_uid: Mapped[str | None] = mapped_column(Uid, unique=True)  # what its images are to carry
    # How far its device is (``worklist.performed.Acquisition``), since when, and which device or why not.
    acquisition: Mapped[str] = mapped_column(Code, default="requested")
    acquisition_at: Mapped[datetime | None]
    acquisition_device: Mapped[str] = mapped_column(String(64), default="")
    acquisition_reason: Mapped[str] = mapped_column(String(64), default="")
    created_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime] = mapped_column(index=True)


_NOT_EMPTY: dict[str, Any] = dict.fromkeys(("sqlite_where", "postgresql_where"), text("n_instances > 0"))


class Study(Base):
    """One examination as received. Belongs to the site whose device sent it."""

    __tablename__ = "study"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), index=True)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    order_uid: Mapped[str | None] = mapped_column(ForeignKey("imaging_order.order_uid"), index=True)
    suggested_order_uid: Mapped[str | None] = mapped_column(ForeignKey("imaging_order.order_uid"))
    accession_number: Mapped[str | None] = mapped_column(searched(64), index=True)
    # As DICOM writes them, "" where absent: a missing date is older than any other in the order of queries.
    study_date: Mapped[str] = mapped_column(searched(8), default="")
    study_time: Mapped[str] = mapped_column(searched(16), default="")
    study_id_sent: Mapped[str] = mapped_column(searched(64), default="")  # Study ID (0020,0010)
    referring_physician_name: Mapped[str] = mapped_column(String(256), default="")
    kind: Mapped[str] = mapped_column(Code)  # image | ecg
    modality: Mapped[str] = mapped_column(String(16))
    body_part: Mapped[str] = mapped_column(String(64), default="")
    description: Mapped[str] = mapped_column(String(256), default="")
    acquired_at: Mapped[datetime | None]
    input_readiness: Mapped[str] = mapped_column(Code)  # INCOMPLETE | READY
    n_instances: Mapped[int] = mapped_column(default=0)
    received_at: Mapped[datetime] = mapped_column(index=True)  # first object
    last_received_at: Mapped[datetime]
    quiet_time_s: Mapped[int]
    ready_at: Mapped[datetime | None]
    # What spoke for or against completeness when it was last weighed, and when; how many listed ones are not here.
    ready_evidence: Mapped[dict[str, Any] | None]
    weighed_at: Mapped[datetime | None]
    n_missing: Mapped[int | None]
    released_at: Mapped[datetime | None]  # a person goes on without what is missing
    progress_told_at: Mapped[datetime]  # when live pages last heard of arriving objects
    # How far its report is; moved by the report package in the transaction of each change:
    # none draft returned submitted preliminary final delivered opened acknowledged
    report_status: Mapped[str] = mapped_column(Code, default="none")
    late_images_at: Mapped[datetime | None]  # images came after a signature
    # Queries go newest first (``query_store``), over what has a visible instance.
    __table_args__ = (
        Index("ix_study_waiting", "input_readiness", "last_received_at"),
        Index("ix_study_newest", "study_date", "id", "site_id", "kind", **_NOT_EMPTY),
        Index("ix_study_newest_of_site", "site_id", "study_date", "id", **_NOT_EMPTY),
    )


class Series(Base):
    __tablename__ = "series"
    __table_args__ = (Index("ix_series_modality", "modality", "study_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    series_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    modality: Mapped[str] = mapped_column(String(16))
    number: Mapped[int | None]
    description: Mapped[str] = mapped_column(String(256), default="")
    body_part: Mapped[str] = mapped_column(String(64), default="")
    series_date: Mapped[str] = mapped_column(searched(8), default="")
    series_time: Mapped[str] = mapped_column(searched(16), default="")
    performed_start_date: Mapped[str] = mapped_column(searched(8), default="")
    performed_start_time: Mapped[str] = mapped_column(searched(16), default="")
    requested_procedure_id: Mapped[str] = mapped_column(searched(64), default="")
    scheduled_step_id: Mapped[str] = mapped_column(searched(64), default="")


class Instance(Base):
    """One stored object: the bytes as received under ``blob_key``; never rewritten."""

    __tablename__ = "instance"
    __table_args__ = (Index("ix_instance_series", "series_id", "hidden_code"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    sop_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    sop_class_uid: Mapped[str] = mapped_column(Uid)
    transfer_syntax_uid: Mapped[str] = mapped_column(Uid)
    number: Mapped[int | None]
    blob_key: Mapped[str] = mapped_column(String(160))
    digest: Mapped[str] = mapped_column(String(64))  # BLAKE3, hex, of the stored file
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime]
    association_id: Mapped[int | None] = mapped_column(ForeignKey("association.id"), index=True)
    duplicates: Mapped[int] = mapped_column(default=0)
    # Derived display data: pending | ready | failed | none (nothing to draw), with the reason.
    derived_state: Mapped[str] = mapped_column(Code, default="pending")
    derived_reason: Mapped[str | None] = mapped_column(String(256))
    hidden_code: Mapped[str | None] = mapped_column(String(16))  # rejection note that hides it, PS3.16 CID 7011
    rows: Mapped[int | None]
    columns: Mapped[int | None]
    bits_allocated: Mapped[int | None]
    number_of_frames: Mapped[int | None]


class Association(Base):
    """One DICOM association or upload, from open to close; evidence for completeness."""

    __tablename__ = "association"
    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[int | None] = mapped_column(ForeignKey("device.id"))
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    called_ae_title: Mapped[str] = mapped_column(String(16))
    peer_address: Mapped[str] = mapped_column(String(64))
    listener_run: Mapped[str] = mapped_column(String(64), index=True)
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None] = mapped_column(index=True)
    outcome: Mapped[str | None] = mapped_column(String(32))  # released | aborted | lost | listener_stopped


class StudyAssociation(Base):
    """Which associations brought objects of a study."""

    __tablename__ = "study_association"
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True)
    association_id: Mapped[int] = mapped_column(ForeignKey("association.id"), primary_key=True)


class Quarantine(Base):
    """An object that cannot be used, kept whole with its reason; or a conflict that a person must settle."""

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(index=True)
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"), index=True)
    association_id: Mapped[int | None] = mapped_column(ForeignKey("association.id"))
    source: Mapped[str] = mapped_column(String(64))  # AE title, "upload" or "import"
    reason: Mapped[str] = mapped_column(String(64))  # code of a sentence "quarantine.<reason>"
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    blob_key: Mapped[str] = mapped_column(String(160))
    digest: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sop_instance_uid: Mapped[str | None] = mapped_column(String(128), index=True)
    study_id: Mapped[int | None] = mapped_column(ForeignKey("study.id"), index=True)  # a conflict on that study
    # A reader has seen the conflict on the study and goes on, saying why.
    seen_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    seen_at: Mapped[datetime | None]
    seen_reason: Mapped[str | None] = mapped_column(String(256))
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    resolution: Mapped[str | None] = mapped_column(String(256))


class Workitem(Base):
    """One piece of reading work: a UPS (PS3.4 CC). States move only along ``worklist.workitem``."""

    __tablename__ = "workitem"
    __table_args__ = (Index("ix_workitem_state_workitem_uid", "state", "workitem_uid"),)  # the order of UPS answers
    workitem_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    step: Mapped[str] = mapped_column(Code)  # interpretation | verification | addendum
    state: Mapped[str] = mapped_column(Code)  # SCHEDULED | IN PROGRESS | COMPLETED | CANCELED
    priority: Mapped[str] = mapped_column(Code)
    due_at: Mapped[datetime] = mapped_column(index=True)
    created_at: Mapped[datetime]
    scheduled_performer: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    actual_performer: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    excluded_performer: Mapped[int | None] = mapped_column(ForeignKey("account.id"))  # the author, for verification
    transaction_uid: Mapped[str | None] = mapped_column(Uid)
    claimed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(String(256))
    retake_reason: Mapped[str | None] = mapped_column(Code)  # one of worklist.retake; None: not asked for
    replaces: Mapped[str | None] = mapped_column(ForeignKey("workitem.workitem_uid"), unique=True)
    report_uid: Mapped[str | None] = mapped_column(Uid, index=True)


class Viewing(Base):
    """That a person opened a study's images in one sitting: the key of one audit row."""

    __tablename__ = "viewing"
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True)
    sitting: Mapped[str] = mapped_column(String(64), primary_key=True)
    first_at: Mapped[datetime]


class BreakGlass(Base):
    """Access to one study beyond a person's own, with a reason, for a while."""

    __tablename__ = "break_glass"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    reason: Mapped[str] = mapped_column(Text)
    granted_at: Mapped[datetime]
    expires_at: Mapped[datetime]
