"""The demo county, and what its modalities would send. [app]

Sites, people and patients are fictional. The radiograph and the ECG are real public test files (PyPI
``pydicom-data`` and pydicom itself); the CT volume is made here and labelled 演示体模.
"""

import secrets
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rich.console import Console
from sqlalchemy import select

from pacs_bridge.scu import store_files
from reports.certificate import DoctorKey, open_authority
from worklist.account_service import create_account, hash_password
from worklist.account_tables import Account, SigningKey
from worklist.base.config import Settings
from worklist.device_service import MODALITY_SERVICES
from worklist.roof import Roof, clock, open_roof
from worklist.start import migrate_all
from worklist.tables import Device, Site

# code, name, English name, accession prefix, reads, signatures, return AE title and port offset
SITES = (
    ("COUNTY", "清河县人民医院", "Qinghe County People's Hospital", "QH", True, {"*": 1}, None),
    ("QINGSHAN", "青山镇卫生院", "Qingshan Township Health Centre", "QS", False, {"CT": 2, "*": 1}, ("QS_PACS", 0)),
    ("BAISHUI", "白水镇卫生院", "Baishui Township Health Centre", "BS", False, {"*": 1}, ("BS_PACS", 1)),
    ("HEPING", "和平乡卫生院", "Heping Township Health Centre", "HP", False, {"*": 1}, None),
)
DEVICES = (
    ("COUNTY_CT", "COUNTY", "CT", "64 排 CT", 20), ("QS_DR", "QINGSHAN", "DR", "数字化 X 线机", 0),
    ("QS_CT", "QINGSHAN", "CT", "16 排 CT", 20), ("QS_ECG", "QINGSHAN", "ECG", "十二道心电图机", 0),
    ("BS_DR", "BAISHUI", "DR", "数字化 X 线机", 0), ("BS_ECG", "BAISHUI", "ECG", "十二道心电图机", 0),
    ("HP_DR", "HEPING", "DR", "数字化 X 线机", 0),
)  # fmt: skip
# username, name, English name, site, role, kinds, licence number
USERS = (
    ("tech", "李青禾", "Li Qinghe", "QINGSHAN", "technician", (), ""),
    ("clinician", "王晓岚", "Wang Xiaolan", "QINGSHAN", "clinician", (), ""),
    ("tech2", "赵田雨", "Zhao Tianyu", "BAISHUI", "technician", (), ""),
    ("clinician2", "孙百川", "Sun Baichuan", "BAISHUI", "clinician", (), ""),
    ("radiologist", "陈知远", "Chen Zhiyuan", "COUNTY", "reader", ("image",), "110130000000101"),
    ("radiologist2", "林书恒", "Lin Shuheng", "COUNTY", "reader", ("image",), "110130000000102"),
    ("cardiologist", "沈若川", "Shen Ruochuan", "COUNTY", "reader", ("ecg",), "110130000000103"),
    ("reviewer", "周敏仪", "Zhou Minyi", "COUNTY", "reviewer", ("image",), "110130000000104"),
    ("reviewer_ecg", "顾明哲", "Gu Mingzhe", "COUNTY", "reviewer", ("ecg",), "110130000000105"),
    ("manager", "何静安", "He Jing'an", "COUNTY", "manager", (), ""),
    ("admin", "赵启航", "Zhao Qihang", "COUNTY", "admin", (), ""),
)
LICENCE_UNTIL = timedelta(days=3 * 365)


def command(settings: Settings) -> int:
    """``teleread demo``: migrate and make the county where it is not yet."""
    migrate_all(settings)
    roof = open_roof(settings)
    made = make_county(roof)
    roof.close()
    print("演示县已建立 / demo county made" if made else "演示县已存在 / demo county exists")
    return 0


class KeyMaker(Protocol):
    """Makes doctors' keys: ``reports.certificate.Authority``."""

    def new_doctor_key(
        self, name: str, licence_number: str, may_review: bool, pin: str, now: datetime
    ) -> DoctorKey: ...


def make_county(roof: Roof, authority: KeyMaker | None = None) -> bool:
    """Sites, devices, people and their signing keys; False where the database has sites already."""
    with roof.db.read() as session:
        if session.scalar(select(Site.id).limit(1)) is not None:
            return False
    given = roof.settings.demo_password
    password = given or secrets.token_urlsafe(9)
    now = roof.now()
    hashed = hash_password(password)  # one password, so one hash: it says no more than the line printed below
    authority = authority or open_authority(roof.keys_dir, now)
    keys = {
        username: authority.new_doctor_key(name, licence, role == "reviewer", f"{password}-pin", now)
        for username, name, _, _, role, _, licence in USERS if licence
    }  # fmt: skip
    with roof.db.write() as session:
        sites = {row[0]: _site(row, roof.settings.demo_return_port_number) for row in SITES}
        session.add_all(sites.values())
        session.flush()
        session.add_all(
            Device(
                ae_title=ae, site_id=sites[site].id, modality=modality, name=name, quiet_time_s=quiet_s,
                address_range="127.0.0.0/8", services=list(MODALITY_SERVICES), fallback_character_set="GB18030",
            )
            for ae, site, modality, name, quiet_s in DEVICES
        )  # fmt: skip
        for username, name, name_en, site, role, kinds, licence in USERS:
            account = create_account(
                session, None, username=username, password_hash=hashed, name=name, role=role,
                site_id=sites[site].id, kinds=kinds, name_en=name_en, now=now,
            )  # fmt: skip
            if licence:
                _license(account, licence, now)
                key = keys[username]
                session.add(
                    SigningKey(
                        account_id=account.id, encrypted_pkcs8=key.encrypted_pkcs8, serial=key.serial,
                        certificate_pem=key.certificate_pem, valid_until=key.valid_until, created_at=now,
                    )
                )  # fmt: skip
    if not given:
        print(f"演示账号密码 / password of the demo users: {password}", flush=True)
        print(f"签名密码 / sign PIN: {password}-pin", flush=True)
    return True


def _license(account: Account, licence: str, now: datetime) -> None:
    account.licence_number = licence
    account.licence_valid_until = (now + LICENCE_UNTIL).date()


def _site(row: tuple[object, ...], return_port: int) -> Site:
    code, name, name_en, prefix, reads, signatures, back = row
    site = Site(
        code=code, name_zh=name, name_en=name_en, accession_prefix=prefix, reads=reads,
        signatures_by_modality=signatures,
    )  # fmt: skip
    if isinstance(back, tuple):
        site.return_ae_title, site.return_host, site.return_port = back[0], "127.0.0.1", return_port + back[1]
    return site


@dataclass(frozen=True)
class Sender:
    """One examination that a demo modality sends, with an earlier one of the same person."""

    ae_title: str
    name: str
    patient_id: str
    sex: str
    birth_date: date
    description: str
    body_part: str


SENDERS = (
    Sender("QS_DR", "韩秀芝", "QS-0042817", "F", date(1968, 3, 22), "胸部正位", "CHEST"),
    Sender("QS_CT", "孙桂兰", "QS-0031156", "F", date(1952, 7, 14), "演示体模 头颅平扫", "HEAD"),
    Sender("QS_ECG", "马国强", "QS-0018830", "M", date(1959, 2, 14), "十二导联心电图", ""),
)
N_SLICES = 28


def send(settings: Settings) -> int:
    """``teleread demo send``: DR, CT and ECG, each with a prior, by C-STORE to this machine's listener."""
    console = Console(file=sys.stdout)
    host = "127.0.0.1" if settings.dicom_host in ("", "0.0.0.0") else settings.dicom_host  # noqa: S104
    failed = 0
    now = clock().astimezone(settings.zone)
    with tempfile.TemporaryDirectory() as folder:
        for sender in SENDERS:
            for moment in (now - timedelta(days=412), now - timedelta(minutes=6)):
                paths = write_study(sender, moment, Path(folder))
                results = store_files(
                    paths, host, settings.dicom_port_number, called_ae=settings.ae_title, calling_ae=sender.ae_title
                )
                refused = [result for result in results if result.outcome not in ("accepted", "warning")]
                failed += len(refused)
                word = "已接收 accepted" if not refused else f"未成功 {refused[0].outcome}"
                console.print(f"{sender.ae_title}  {sender.name}  {moment:%Y-%m-%d}  {len(paths)} 幅  {word}")
    return 1 if failed else 0


def write_study(sender: Sender, moment: datetime, folder: Path) -> list[Path]:
    """The files of one demo examination, taken at ``moment`` (in the site's zone)."""
    study_uid, series_uid = generate_uid(), generate_uid()
    if sender.ae_title.endswith("CT"):
        datasets = [_phantom_slice(index) for index in range(N_SLICES)]
    elif sender.ae_title.endswith("ECG"):
        datasets = [pydicom.dcmread(str(get_testdata_file("waveform_ecg.dcm", download=False)))]
    else:
        datasets = [_radiograph()]
    frame_uid = generate_uid()
    paths = []
    for number, dataset in enumerate(datasets, 1):
        _label(dataset, sender, moment, number)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
        dataset.FrameOfReferenceUID = frame_uid
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _label(dataset: Dataset, sender: Sender, moment: datetime, number: int) -> None:
    dataset.SpecificCharacterSet = "GB18030"
    dataset.PatientName = f"={sender.name}"
    dataset.PatientID = sender.patient_id
    dataset.PatientSex = sender.sex
    dataset.PatientBirthDate = f"{sender.birth_date:%Y%m%d}"
    dataset.PatientAge = None
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = f"{moment:%Y%m%d}"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = f"{moment:%H%M%S}"
    dataset.AcquisitionDateTime = f"{moment:%Y%m%d%H%M%S}"
    dataset.pop("TimezoneOffsetFromUTC", None)  # the original file's zone is not the township's
    dataset.StudyDescription = sender.description
    dataset.SeriesDescription = sender.description
    dataset.BodyPartExamined = sender.body_part
    dataset.InstitutionName = "青山镇卫生院"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = ""
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number


def _radiograph() -> Dataset:
    """A real chest radiograph (NEMA WG-04 test set, in PyPI pydicom-data)."""
    dataset = pydicom.dcmread(str(get_testdata_file("RG1_UNCR.dcm", download=False)))
    dataset.Modality = "CR"
    dataset.PatientOrientation = ["L", "F"]
    return dataset


def _phantom_slice(index: int) -> Dataset:
    """One slice of a made head: skull, brain, ventricles and a ruler of spheres of known size and HU."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.Modality, dataset.Manufacturer = "CT", "teleread"
    dataset.ManufacturerModelName = "演示体模 Demo phantom"
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    pixels = _phantom_hu(index) + 1024
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelSpacing, dataset.SliceThickness = [0.45, 0.45], 5.0
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-115.0, -115.0, -70.0 + 5.0 * index]
    dataset.SliceLocation = -70.0 + 5.0 * index
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 80
    dataset.KVP = 120
    dataset.PixelData = pixels.astype("<u2").tobytes()
    return dataset


def _phantom_hu(index: int) -> np.ndarray:
    """HU of a slice, (512, 512) int32; the noise is seeded, so the phantom is the same every time."""
    y, x = np.mgrid[0:512, 0:512].astype(np.float32)
    x, y, z = (x - 256) / 210, (y - 256) / 235, (index - (N_SLICES - 1) / 2) / (N_SLICES * 0.62)
    radius = np.sqrt(x**2 + y**2 + z**2)
    hu = np.full((512, 512), -1000.0, np.float32)
    hu[radius < 1.0] = 60  # scalp
    hu[radius < 0.96] = 1100  # skull
    hu[radius < 0.88] = 36  # brain
    rim = (radius < 0.88) & (radius > 0.80)
    hu[rim] += 4 * np.sin(14 * np.arctan2(y, x))[rim]  # cortex
    for side in (-1, 1):
        ventricle = ((x - side * 0.13) / 0.09) ** 2 + ((y + 0.02) / 0.30) ** 2 + (z / 0.35) ** 2
        hu[ventricle < 1] = 6
    lesion = ((x - 0.42) / 0.20) ** 2 + ((y - 0.05) / 0.26) ** 2 + ((z - 0.1) / 0.35) ** 2
    hu[lesion < 1] -= 12
    for number, value in enumerate((-100.0, 0.0, 60.0, 200.0)):
        hu[((x + 0.3 - 0.2 * number) / 0.045) ** 2 + ((y - 0.62) / 0.04) ** 2 < 1] = value
    noise = np.random.default_rng(index).normal(0, 3.5, hu.shape)
    return np.clip(hu + np.where(hu > -900, noise, 0), -1024, 3071).round().astype(np.int32)

