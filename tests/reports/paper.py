"""Sample reports, a demo authority and signed files, made once per run for the tests of paper and signatures."""

import atexit
import hashlib
import io
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from zoneinfo import ZoneInfo

from PIL import Image

from reports.certificate import Authority, DoctorKey, open_authority
from reports.paper import KeyImage, ReportDocument, Section
from reports.pdf import render, stamp
from reports.pin import decrypt_key
from reports.sign import Signing, Tsa, prepare, sign
from reports.signing_pool import SigningRequest
from tests.peers.dcmtk import require

ZONE = ZoneInfo("Asia/Shanghai")
PIN, REVIEWER_PIN = "Doctor-Pin-7391", "Reviewer-Pin-2846"
FINDINGS = (
    "左肺上叶外侧胸膜下见一实性结节，大小约 24.0 mm × 20.1 mm（层 52，肺窗），边缘分叶。"
    "体温 38.5 ℃，SpO2 ≥ 95 %。余肺野清晰。"
)
IMPRESSION = "1. 左肺上叶实性分叶状结节，周围型肺癌可能性大。\n2. 纵隔、肺门未见明确肿大淋巴结。"


def run(*command: str) -> str:
    """What a tool says of a file; it must succeed."""
    return subprocess.run([require(command[0]), *command[1:]], check=True, capture_output=True, text=True).stdout


def jpeg(width: int, height: int, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), 90 if mode == "L" else None).save(buffer, "JPEG")
    return buffer.getvalue()


def document(**changes: Any) -> ReportDocument:
    values: dict[str, Any] = {
        "title": "CT 检查报告单",
        "organisation": "清河县紧密型医共体　远程影像诊断中心",
        "patient_name": "郑䶮㛃",
        "patient_id": "QS-0031156",
        "patient_sex": "M",
        "patient_birth_date": date(1963, 3, 1),
        "accession_number": "QS26111800244",
        "site_name": "青山镇卫生院",
        "requesting_doctor": "王晓岚",
        "exam": "胸部 CT 增强",
        "device": "16 排 CT",
        "acquired_at": datetime(2026, 11, 18, 4, 5, tzinfo=UTC),
        "clinical": "左上肺结节复查",
        "sections": (Section("影像所见", FINDINGS), Section("诊断意见", IMPRESSION, is_conclusion=True)),
        "author_name": "陈知远",
        "written_at": datetime(2026, 11, 18, 7, 12, tzinfo=UTC),
        "verify_url": "https://teleread.example/verify/7QF4K2M9TX3B7QF4K2M9TX3B77",
        "verify_code": "7QF4-K2M9-TX3B",
        "zone": ZONE,
        "n_signatures_required": 2,
    }
    return ReportDocument(**{**values, **changes})


def key_images() -> tuple[KeyImage, ...]:
    return tuple(KeyImage(jpeg(512, 512), f"轴位 肺窗　层 {number}") for number in (51, 52, 53))


@dataclass(frozen=True)
class Clinic:
    """An authority, two doctors, and when all was made."""

    authority: Authority
    author: DoctorKey
    reviewer: DoctorKey
    now: datetime

    def signing(self, field: str, key: DoctorKey, name: str, with_tsa: bool = True, landscape: bool = False) -> Signing:
        folder = self.authority.directory
        tsa = Tsa((folder / "tsa.crt").read_bytes(), (folder / "tsa.key").read_bytes())
        mark = stamp(field, landscape, name, self.now, key.serial, ZONE, has_time_stamp=with_tsa)
        ca = self.authority.ca_path.read_bytes()
        return Signing(field, key.certificate_pem.encode(), ca, name, self.now, mark, tsa if with_tsa else None)


def clinic_in(directory: Path) -> Clinic:
    now = datetime.now(UTC)
    made_at = now - timedelta(minutes=5)
    authority = open_authority(directory, made_at)
    author = authority.new_doctor_key("陈知远", "110370000012345", False, PIN, made_at)
    reviewer = authority.new_doctor_key("周敏仪", "110370000099999", True, REVIEWER_PIN, made_at)
    return Clinic(authority, author, reviewer, now)


@cache
def clinic() -> Clinic:
    """The one authority of a run that no test changes."""
    folder = mkdtemp(prefix="teleread-test-authority-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return clinic_in(Path(folder))


@cache
def prepared(n_fields: int = 2) -> bytes:
    return prepare(render(document(n_signatures_required=n_fields, key_images=key_images())), n_fields)


def sign_as_author(pdf: bytes, at: Clinic, **options: Any) -> bytes:
    key = decrypt_key(at.author.encrypted_pkcs8, PIN.encode())
    return sign(pdf, at.signing("report_doctor", at.author, "陈知远", **options), key)


def sign_as_reviewer(pdf: bytes, at: Clinic, **options: Any) -> bytes:
    key = decrypt_key(at.reviewer.encrypted_pkcs8, REVIEWER_PIN.encode())
    return sign(pdf, at.signing("reviewer", at.reviewer, "周敏仪", **options), key)


@cache
def signed_once() -> bytes:
    return sign_as_author(prepared(2), clinic())


@cache
def signed_twice() -> bytes:
    return sign_as_reviewer(signed_once(), clinic())


def request(pdf: bytes, pin: str = PIN, **changes: Any) -> SigningRequest:
    """What the server asks the pool for the author's signature."""
    at = clinic()
    values: dict[str, Any] = {
        "document": pdf,
        "expected_sha256": hashlib.sha256(pdf).hexdigest(),
        "field_name": "report_doctor",
        "pin": pin,
        "encrypted_pkcs8": at.author.encrypted_pkcs8,
        "certificate_pem": at.author.certificate_pem,
        "signer_name": "陈知远",
        "signed_at": at.now,
        "stamp_pdf": None,
    }
    return SigningRequest(**{**values, **changes})
