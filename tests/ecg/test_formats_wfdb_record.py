"""WFDB records against the wfdb library's own physical signals, and headers that must be refused."""

import warnings
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from ecg.formats import wfdb_record
from ecg.waveform import STANDARD_LEADS, EcgError
from tests.peers.data import shared_data

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import wfdb

RECORDS = ["wfdb12/ptbdb/s0010_re", "wfdb12/cinc2021_georgia/E07500", "ludb/data/1", "mitdb/100"]


def files_of(record: str) -> dict[str, bytes]:
    """The header of a record and the files beside it that share its name."""
    header = shared_data("ecg", *f"{record}.hea".split("/"))
    return {path.name: path.read_bytes() for path in header.parent.glob(f"{header.stem}.*")}


def refusal(header: str, data: bytes | None = None) -> EcgError:
    files = {"1.hea": header.encode()} | ({} if data is None else {"1.dat": data})
    with pytest.raises(EcgError) as caught:
        wfdb_record.read(files)
    return caught.value


@pytest.fixture
def ludb() -> tuple[str, bytes]:
    files = files_of("ludb/data/1")
    return files["1.hea"].decode(), files["1.dat"]


@pytest.mark.parametrize("name", RECORDS)
def test_microvolts_are_those_of_wfdb(name: str) -> None:
    record = wfdb_record.read(files_of(name))
    truth = wfdb.rdrecord(str(shared_data("ecg", *f"{name}.hea".split("/")).with_suffix("")))
    assert record.recording.sampling_rate_hz == truth.fs
    np.testing.assert_allclose(record.recording.samples_uv, truth.p_signal * 1000, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(
        record.digital.samples,
        wfdb.rdrecord(str(shared_data("ecg", *f"{name}.hea".split("/")).with_suffix("")), physical=False).d_signal,
    )


def test_leads_demographics_and_clock() -> None:
    ptb = wfdb_record.read(files_of("wfdb12/ptbdb/s0010_re"))
    assert ptb.recording.leads == (*STANDARD_LEADS, "X", "Y", "Z")
    assert (ptb.age_years, ptb.sex) == (81, "F")
    assert (wfdb_record.read(files_of("ludb/data/1")).age_years, wfdb_record.read(files_of("ludb/data/1")).sex) == (
        51,
        "F",
    )
    mit = wfdb_record.read(files_of("mitdb/100"))
    assert (mit.age_years, mit.sex, mit.recording.leads) == (69, "M", ("MLII", "V5"))
    china = timezone(timedelta(hours=8))
    challenge = wfdb_record.read(files_of("wfdb12/challenge2020_mixed/E00009"), zone=china)
    assert (challenge.base_date, challenge.base_time) == (date(2020, 5, 5), time(14, 50, 55))
    assert challenge.recording.acquired_at == datetime(2020, 5, 5, 6, 50, 55, tzinfo=UTC)
    assert challenge.digital.baseline == (0,) * 12
    assert challenge.digital.sensitivity_uv[0] == pytest.approx(1000 / 4880)


def test_header_with_the_date_in_words_reads_like_without(tmp_path: Path) -> None:
    """The library itself refuses this header; with its record line cut to the standard it is the oracle again."""
    files = files_of("wfdb12/challenge2020_mixed/E00009")
    cut = files["E00009.hea"].decode().replace("E00009.mat 12 500 5000 05-May-2020 14:50:55", "E00009 12 500 5000", 1)
    (tmp_path / "E00009.hea").write_text(cut)
    (tmp_path / "E00009.mat").write_bytes(files["E00009.mat"])
    truth = wfdb.rdrecord(str(tmp_path / "E00009")).p_signal * 1000
    np.testing.assert_allclose(wfdb_record.read(files).recording.samples_uv, truth, rtol=0, atol=1e-6)


def test_missing_data_file_is_named(ludb: tuple[str, bytes]) -> None:
    error = refusal(ludb[0])
    assert (error.code, error.params["file"]) == ("missing_file", "1.dat")


@pytest.mark.parametrize("name", ["../1.dat", "/etc/passwd", "..\\1.dat", "s3://bucket/1.dat", "~1.dat", ".1.dat"])
def test_headers_cannot_name_other_files(ludb: tuple[str, bytes], name: str) -> None:
    header = ludb[0].replace("1.dat", name, 1)
    files = {"1.hea": header.encode(), "1.dat": ludb[1], name: ludb[1]}
    with pytest.raises(EcgError) as caught:
        wfdb_record.read(files)
    assert caught.value.code == "unsafe_file_name"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("1716(6)/mV", "0(6)/mV", "missing_sensitivity"),
        ("16 1716(6)/mV 0 0 -120 -32198 0 i", "16", "missing_sensitivity"),
        ("500 5000", "500 500000000000", "truncated"),
        ("1 12 500", "1/3 12 500", "unsupported_multi_segment"),
        ("1 12 500", "1 13 500", "bad_header"),
        ("1 12 500", "1 99999999 500", "bad_header"),
        ("1 12 500 5000", "hello", "bad_header"),
        ("0 0 25 12402 0 ii", "0 0 25 12402 0 i", "duplicate_lead"),
    ],
)
def test_bad_headers(ludb: tuple[str, bytes], old: str, new: str, code: str) -> None:
    assert old in ludb[0]
    assert refusal(ludb[0].replace(old, new, 1), ludb[1]).code == code


def test_short_data_is_refused(ludb: tuple[str, bytes]) -> None:
    assert refusal(ludb[0], ludb[1][:60000]).code in {"truncated", "damaged_file"}
    assert refusal(ludb[0], b"").code == "truncated"


def test_pressure_and_respiration_are_left_out(ludb: tuple[str, bytes]) -> None:
    header = ludb[0].replace("1457(1)/mV 0 0 -25 7482 0 v6", "1457(1)/mmHg 0 0 -25 7482 0 ABP")
    assert wfdb_record.read({"1.hea": header.encode(), "1.dat": ludb[1]}).recording.leads == STANDARD_LEADS[:11]
