"""Files taken in from the command line: real DICOM and WFDB, damaged ones, twice; on both databases."""

import hashlib
import os
import shutil
import warnings
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pydicom
import pytest
from sqlalchemy import func, select

from ecg.formats.reader import read_upload
from tests.peers.data import shared_data
from worklist import store
from worklist.base.audit import AuditEvent
from worklist.import_files import Importer, Taken, files_below
from worklist.roof import Roof
from worklist.tables import Association, Instance, Patient, Quarantine, Study
from worklist.transfer import import_command

with warnings.catch_warnings():  # its use of pandas warns at import
    warnings.simplefilter("ignore")
    import wfdb

RECORD = ("ecg", "wfdb12", "challenge2020_mixed", "E00009.hea")


def take(roof: Roof, path: Path, name: str = "", patient_id: str = "", site: str = "QINGSHAN") -> list[Taken]:
    with roof.db.read() as session:
        row = store.site_by_code(session, site)
    assert row is not None
    with closing(Importer(roof, row, name, patient_id)) as importer:
        return list(importer.take(files_below(path)))


def outcomes(taken: list[Taken]) -> dict[str, int]:
    return dict(Counter(result.outcome for result in taken))


def copy_record(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    header = shared_data(*RECORD)
    for path in (header, header.with_suffix(".mat")):
        shutil.copyfile(path, folder / path.name)
    return folder / header.name


def test_a_folder_of_dicom_is_filed_bit_exact_and_complete(roof: Roof) -> None:
    """The PS3.10 test media of pydicom: 14 objects filed, the directory file skipped, every study READY at the end."""
    media = shared_data("dicom", "dicomdir", "media")
    n_objects = sum(1 for path in media.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    assert outcomes(take(roof, media)) == {"filed": n_objects, "skipped": 1}
    sources = {hashlib.sha256(path.read_bytes()).hexdigest() for path in media.rglob("*") if path.is_file()}
    with roof.db.read() as session:
        keys = session.scalars(select(Instance.blob_key)).all()
        assert set(session.scalars(select(Study.input_readiness))) == {"READY"}
        assert session.scalars(select(Association.outcome)).all() == ["released"]
        (row,) = session.scalars(select(AuditEvent).where(AuditEvent.act == "objects.import")).all()
        assert row.details == {"filed": n_objects, "skipped": 1}
    assert len(keys) == n_objects
    assert {hashlib.sha256(roof.blobs.path(key).read_bytes()).hexdigest() for key in keys} < sources


def test_the_same_again_changes_nothing(roof: Roof) -> None:
    media = shared_data("dicom", "dicomdir", "media")
    first = outcomes(take(roof, media))
    stored = sorted(roof.blobs.keys())
    assert outcomes(take(roof, media)) == {"duplicate": first["filed"], "skipped": 1}
    assert sorted(roof.blobs.keys()) == stored


def test_the_same_studies_at_another_site_are_kept_aside(roof: Roof) -> None:
    media = shared_data("dicom", "dicomdir", "media")
    take(roof, media)
    taken = take(roof, media, site="BAISHUI")
    assert set(outcomes(taken)) == {"quarantined", "skipped"}
    assert {result.reason for result in taken} == {"quarantine.instance_of_other_site", "import.dicomdir"}


def test_damaged_files_are_kept_aside_or_refused_with_their_reason(roof: Roof) -> None:
    taken = {result.path.name: result for result in take(roof, shared_data("dicom", "malformed"))}
    truncated = taken["MR_truncated.dcm"]
    assert (truncated.outcome, truncated.reason) == ("quarantined", "quarantine.truncated")
    assert taken["not_dicom_text.dicom"].reason == "quarantine.not_dicom"
    assert taken["not_dicom_text.dicom"].outcome == "refused"
    assert all(result.reason for result in taken.values() if result.outcome in ("quarantined", "refused"))
    kept = [result for result in taken.values() if result.outcome == "quarantined"]
    with roof.db.read() as session:
        rows = session.scalars(select(Quarantine)).all()
    assert Counter(row.reason for row in rows) == Counter(one.reason.removeprefix("quarantine.") for one in kept)
    assert all(roof.blobs.verify(row.blob_key) for row in rows)
    assert {row.source for row in rows} == {"import"}


def test_a_wfdb_record_says_not_whose_it_is(roof: Roof, tmp_path: Path) -> None:
    header = copy_record(tmp_path / "records")
    (refused,) = take(roof, header.parent)
    assert (refused.outcome, refused.reason) == ("refused", "import.no_identity")
    with roof.db.read() as session:
        assert session.scalar(select(func.count(Study.id))) == 0
    assert list(roof.blobs.keys()) == []


def test_a_wfdb_record_becomes_a_waveform_object_with_the_same_volts(roof: Roof, tmp_path: Path) -> None:
    """Judged by the wfdb library on one side and pydicom on the other."""
    header = copy_record(tmp_path / "records")
    assert outcomes(take(roof, header, "张^三", "0001")) == {"filed": 1}
    with roof.db.read() as session:
        instance, patient = session.scalars(select(Instance)).one(), session.scalars(select(Patient)).one()
    assert (patient.patient_id, patient.name.replace("^", "")) == ("0001", "张三")
    dataset = pydicom.dcmread(roof.blobs.path(instance.blob_key))
    text = header.read_text("utf-8")  # the library reads neither the suffix nor the date of this set's record line
    (tmp_path / "records" / "plain.hea").write_text("plain 12 500 5000\n" + text.split("\n", 1)[1], "utf-8")
    record = wfdb.rdrecord(str(tmp_path / "records" / "plain"))
    assert np.allclose(dataset.waveform_array(0), record.p_signal * 1000, atol=0.01)


def test_a_wfdb_record_taken_twice_is_a_duplicate_and_another_patient_is_not(roof: Roof, tmp_path: Path) -> None:
    header = copy_record(tmp_path / "records")
    assert outcomes(take(roof, header, "张三", "1")) == {"filed": 1}
    assert outcomes(take(roof, header, "张三", "1")) == {"duplicate": 1}
    assert outcomes(take(roof, header, "李四", "2")) == {"filed": 1}


def test_signal_files_without_header_and_headers_without_signals_are_refused(roof: Roof, tmp_path: Path) -> None:
    header = copy_record(tmp_path / "records")
    header.rename(tmp_path / "records" / "lost.hea")
    (tmp_path / "records" / "E00009.mat").rename(tmp_path / "records" / "other.mat")
    taken = {result.path.name: result.reason for result in take(roof, tmp_path / "records", "张三")}
    assert taken == {"lost.hea": "ecg.missing_file", "other.mat": "ecg.no_header"}


def test_bad_ecgs_are_refused_with_the_readers_reason(roof: Roof) -> None:
    taken = {result.path.name: result for result in take(roof, shared_data("ecg", "bad"))}
    assert taken["dicom_no_waveformsequence.dcm"].outcome == "refused"
    assert taken["zero_bytes.dcm"].reason == "ecg.empty_file"
    assert taken["random.bin"].outcome == "skipped"


def test_a_single_file_of_no_format_is_refused_not_skipped(roof: Roof, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("hello")
    (taken,) = take(roof, note)
    assert (taken.outcome, taken.reason) == ("refused", "import.unknown_format")


def test_hidden_files_are_not_looked_at(tmp_path: Path) -> None:
    for name in (".DS_Store", "b.dcm", "a.dcm"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c.dcm").write_bytes(b"x")
    assert [path.name for path in files_below(tmp_path)] == ["a.dcm", "b.dcm"]


def test_the_command_says_what_was_refused_and_exits_1(
    roof: Roof, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = copy_record(tmp_path / "records")
    assert import_command(roof.settings, header.parent, "QINGSHAN") == 1
    said = capsys.readouterr().out
    assert "--patient-name" in said
    assert "WFDB 记录不含患者身份" in said
    assert import_command(roof.settings, header.parent, "QINGSHAN", "张三", "1") == 0
    assert import_command(roof.settings, header.parent, "QINGSHAN", "张三", "1") == 0
    assert "重复" in capsys.readouterr().out


def test_full_storage_stops_the_import_and_says_so(
    roof: Roof, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pacs_bridge.blobs.FileBlobs.adopt", full)
    assert import_command(roof.settings, shared_data("dicom", "ct", "CT_small.dcm"), "QINGSHAN") == 1
    assert "No space left" in capsys.readouterr().err


def test_where_a_header_has_no_time_the_recording_time_is_unknown(roof: Roof, tmp_path: Path) -> None:
    header = copy_record(tmp_path / "records")
    first, rest = header.read_text("utf-8").split("\n", 1)
    header.write_text(" ".join(first.split()[:4]) + "\n" + rest, "utf-8")
    os.utime(header, (1_700_000_000, 1_700_000_000))
    take(roof, header, "张三", "1")
    with roof.db.read() as session:
        assert session.scalars(select(Study.acquired_at)).one() is None
        stored = pydicom.dcmread(roof.blobs.path(session.scalars(select(Instance.blob_key)).one()))
    # Type 1: the object gives the file's own moment, and says to every reader that it is not the recording's.
    assert stored.AcquisitionDateTime.startswith("20231115061320")
    assert "time unknown" in stored.WaveformAnnotationSequence[0].UnformattedTextValue
    assert read_upload({"x": Path(str(stored.filename)).read_bytes()}, roof.settings.zone).ecgs[0].recording.acquired_at is None
