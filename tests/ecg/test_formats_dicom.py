"""DICOM ECGs of three makers, the same ECG in HL7 aECG, dcmtk's byte orders, and files that must be refused."""

import subprocess
import warnings
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from ecg.formats import dicom
from ecg.waveform import STANDARD_LEADS, EcgError
from tests.peers.data import shared_data

HL7 = "{urn:hl7-org:v3}"


def aecg_rhythm_uv(path: Path) -> dict[str, np.ndarray]:
    """Lead to microvolts of the first (rhythm) sequence set of an HL7 aECG file."""
    rhythm = next(ET.parse(path).getroot().iter(f"{HL7}sequenceSet"))
    leads = {}
    for sequence in rhythm.iter(f"{HL7}sequence"):
        code = sequence.find(f"{HL7}code").get("code")
        digits = sequence.find(f".//{HL7}digits")
        if digits is not None:
            scale = float(sequence.find(f".//{HL7}scale").get("value"))
            leads[code.removeprefix("MDC_ECG_LEAD_")] = np.array(digits.text.split(), float) * scale
    return leads


def channel(code: str = "5.6.3-9-1", unit: str | None = "uV", sensitivity: float | None = 2.0) -> Dataset:
    item, source, units = Dataset(), Dataset(), Dataset()
    source.CodeValue, source.CodingSchemeDesignator = code, "SCPECG" if code.startswith("5") else "MDC"
    item.ChannelSourceSequence = Sequence([source])
    if sensitivity is not None:
        item.ChannelSensitivity = sensitivity
    if unit is not None:
        units.CodeValue, units.CodingSchemeDesignator = unit, "UCUM"
        item.ChannelSensitivityUnitsSequence = Sequence([units])
    return item


def group(samples: np.ndarray, channels: list[Dataset], interpretation: str, label: str = "RHYTHM") -> Dataset:
    item = Dataset()
    item.MultiplexGroupLabel, item.WaveformOriginality = label, "ORIGINAL"
    item.NumberOfWaveformSamples, item.NumberOfWaveformChannels = samples.shape
    item.SamplingFrequency = 500
    item.ChannelDefinitionSequence = Sequence(channels)
    item.WaveformBitsAllocated = samples.dtype.itemsize * 8
    item.WaveformSampleInterpretation = interpretation
    item.add_new(0x54001010, "OB" if samples.dtype.itemsize == 1 else "OW", samples.tobytes())
    return item


def ecg_object(*groups: Dataset, sop_class: str = "1.2.840.10008.5.1.4.1.1.9.1.1") -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "1.2.3"
    dataset.WaveformSequence = Sequence(groups)
    return dataset


def as_file(dataset: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.file_meta = meta
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def refusal(dataset_or_bytes: Dataset | bytes) -> EcgError:
    with pytest.raises(EcgError) as caught:
        dicom.read(dataset_or_bytes)
    return caught.value


@pytest.mark.parametrize(
    ("name", "rate", "n", "step_uv", "band"),
    [
        ("anonymous_ecg.dcm", 1000.0, 10000, 1.25, (0.05, 300.0, 0.0)),
        ("ecgtoolkit_example.dcm", 500.0, 5000, 2.5, (None, None, None)),
        ("ecgprocess_example-DICOM1.dcm", 500.0, 5000, 4.88, (0.56, 150.0, 50.0)),
    ],
)
def test_rhythm_of_three_makers(name: str, rate: float, n: int, step_uv: float, band: tuple[float | None, ...]) -> None:
    """Raw integers times the sensitivity that dcmdump shows for these files; never the median beat group."""
    path = shared_data("ecg", "dicom", name)
    recording = dicom.read(path)
    assert recording.leads == STANDARD_LEADS
    assert (recording.sampling_rate_hz, recording.n_samples) == (rate, n)
    assert (recording.filter_low_hz, recording.filter_high_hz, recording.notch_hz) == band
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = np.frombuffer(dcmread(path).WaveformSequence[0].WaveformData, "<i2").reshape(n, 12)
    np.testing.assert_allclose(recording.samples_uv, raw * step_uv, rtol=0, atol=1e-9)


def test_same_ecg_as_in_aecg_with_padding_value_zero() -> None:
    """ecgtoolkit_example states padding 0, and 0 is also its baseline: its aECG twin has real zeros there."""
    recording = dicom.read(shared_data("ecg", "dicom", "ecgtoolkit_example.dcm"))
    twin = aecg_rhythm_uv(shared_data("ecg", "aecg", "hl7_example_aecg.xml"))
    assert len(twin) == 12
    for lead in recording.leads:
        np.testing.assert_array_equal(recording.lead_uv(lead), twin[lead.upper()])


@pytest.mark.parametrize("syntax", ["+tb", "+ti", "+td"])
def test_byte_orders_of_dcmtk(tmp_path: Path, syntax: str) -> None:
    """Explicit big endian, implicit little endian and deflated as dcmconv writes them hold the same microvolts."""
    path = shared_data("ecg", "dicom", "anonymous_ecg.dcm")
    other = tmp_path / "other.dcm"
    subprocess.run(["dcmconv", syntax, path, other], check=True, capture_output=True)
    np.testing.assert_array_equal(dicom.read(other).samples_uv, dicom.read(path).samples_uv)


def test_flat_saturated_and_padded_leads() -> None:
    recording = dicom.read(shared_data("ecg", "bad", "dicom_flat_II_saturated_V2_padded_V4.dcm"))
    whole = dicom.read(shared_data("ecg", "dicom", "anonymous_ecg.dcm"))
    assert not recording.lead_uv("II").any()
    assert (recording.lead_uv("V2") == 32767 * 1.25).all()
    gap = np.isnan(recording.lead_uv("V4"))
    assert gap.sum() == 2000
    np.testing.assert_array_equal(recording.lead_uv("V4")[~gap], whole.lead_uv("V4")[~gap])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("zero_bytes.dcm", "empty_file"),
        ("random.bin", "not_dicom"),
        ("dicom_truncated.dcm", "truncated"),
        ("dicom_no_waveformsequence.dcm", "no_waveform_sequence"),
        ("muse_truncated.xml", "not_dicom"),
        ("scp_truncated.scp", "not_dicom"),
    ],
)
def test_bad_files(name: str, code: str) -> None:
    assert refusal(shared_data("ecg", "bad", name).read_bytes()).code == code


def test_without_preamble_it_reads_the_same() -> None:
    bare = dicom.read(shared_data("ecg", "bad", "dicom_no_preamble.dcm"))
    np.testing.assert_array_equal(
        bare.samples_uv, dicom.read(shared_data("ecg", "dicom", "anonymous_ecg.dcm")).samples_uv
    )


def test_every_cut_is_refused_with_a_code() -> None:
    """Cut anywhere, a file is refused or loses only what lies behind the waveform; it never shows other samples."""
    data = shared_data("ecg", "dicom", "ecgtoolkit_example.dcm").read_bytes()
    whole = dicom.read(data).samples_uv
    for length in [*range(1, 4000, 97), *range(4000, len(data), 7919)]:
        try:
            samples = dicom.read(data[:length]).samples_uv
        except EcgError:
            continue
        np.testing.assert_array_equal(samples, whole)


def test_a_ct_image_is_no_ecg() -> None:
    image = Dataset()
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    assert refusal(image).code == "not_an_ecg"


@pytest.mark.parametrize(
    ("bad", "code", "params"),
    [
        (channel(sensitivity=None), "missing_sensitivity", {"lead": "I"}),
        (channel(sensitivity=0), "missing_sensitivity", {"lead": "I"}),
        (channel(unit=None), "missing_sensitivity", {"lead": "I"}),
        (channel(unit="mm[Hg]"), "unknown_unit", {"lead": "I", "unit": "mm[Hg]"}),
    ],
)
def test_amplitude_is_never_guessed(bad: Dataset, code: str, params: dict[str, str]) -> None:
    error = refusal(ecg_object(group(np.ones((1000, 1), "<i2"), [bad], "SS")))
    assert (error.code, error.params) == (code, params)


@pytest.mark.parametrize(("unit", "uv"), [("uV", 6.0), ("mV", 6000.0), ("V", 6e6)])
def test_units_correction_and_baseline(unit: str, uv: float) -> None:
    """PS3.3 C.10.9.1.4.4: value = sample * sensitivity * correction + baseline, all in the unit."""
    item = channel(unit=unit)
    item.ChannelSensitivityCorrectionFactor, item.ChannelBaseline = 0.5, 2
    recording = dicom.read(as_file(ecg_object(group(np.full((10, 1), 4, "<i2"), [item], "SS"))))
    assert recording.samples_uv[0, 0] == pytest.approx(uv)


@pytest.mark.parametrize(
    ("dtype", "interpretation"),
    [("<i1", "SB"), ("<u1", "UB"), ("<i2", "SS"), ("<u2", "US"), ("<i4", "SL"), ("<u4", "UL")],
)
def test_sample_widths(dtype: str, interpretation: str) -> None:
    samples = np.array([[100], [120], [7]], dtype)
    recording = dicom.read(
        as_file(ecg_object(group(samples, [channel()], interpretation), sop_class="1.2.840.10008.5.1.4.1.1.9.1.4"))
    )
    np.testing.assert_array_equal(recording.samples_uv[:, 0], [200.0, 240.0, 14.0])


def test_mu_law_and_contradicting_width_are_refused() -> None:
    samples = np.ones((4, 1), "u1")
    assert refusal(ecg_object(group(samples, [channel()], "MB"))).code == "unsupported_sample_format"
    assert refusal(ecg_object(group(samples, [channel()], "SS"))).code == "unsupported_sample_format"


def test_twelve_bits_in_sixteen_without_sign() -> None:
    """Some writers leave the four high bits of negative 12-bit samples zero; others extend the sign."""
    item = channel()
    item.WaveformBitsStored = 12
    bare = dicom.read(ecg_object(group(np.array([[0x0FFF], [0x0005]], "<i2"), [item], "SS")))
    extended = dicom.read(ecg_object(group(np.array([[-1], [5]], "<i2"), [item], "SS")))
    np.testing.assert_array_equal(bare.samples_uv, [[-2.0], [10.0]])
    np.testing.assert_array_equal(extended.samples_uv, bare.samples_uv)


def test_padding_inside_and_outside_of_the_signal() -> None:
    t = np.arange(2000)
    samples = np.round(100 * np.sin(t / 7)).astype("<i2")[:, None]
    samples[1000:1600] = 0  # 1.2 s of padding
    inside = group(samples, [channel()], "SS")
    inside.add_new(0x5400100A, "OW", b"\0\0")
    lead = dicom.read(ecg_object(inside)).lead_uv("I")
    assert np.isnan(lead[1000:1600]).all()
    assert np.isnan(lead).sum() <= 601
    outside = group(np.where(samples == 0, 999, samples).astype("<i2"), [channel()], "SS")
    outside.add_new(0x5400100A, "OW", (999).to_bytes(2, "little"))
    assert np.isnan(dicom.read(ecg_object(outside)).lead_uv("I")).sum() == (samples == 0).sum()


def test_three_leads_at_a_time_stand_on_one_timeline() -> None:
    parts = []
    for number, (codes, offset) in enumerate([(("2:1", "2:2"), 0), (("2:3", "2:4"), 2500)]):
        part = group(np.full((1250, 2), number + 1, "<i2"), [channel(code) for code in codes], "SS")
        part.MultiplexGroupTimeOffset = offset
        parts.append(part)
    recording = dicom.read(ecg_object(*parts))
    assert recording.leads == ("I", "II", "V1", "V2")
    assert recording.n_samples == 2500
    assert np.isnan(recording.lead_uv("I")[1250:]).all()
    assert (recording.lead_uv("V1")[1250:] == 4.0).all()


def test_median_beats_alone_are_refused_wherever_they_stand() -> None:
    median = group(np.ones((600, 1), "<i2"), [channel()], "SS", label="MEDIAN BEAT")
    assert refusal(ecg_object(median)).code == "no_rhythm"
    rhythm = group(np.full((5000, 1), 3, "<i2"), [channel()], "SS", label="")
    assert dicom.read(ecg_object(median, rhythm)).n_samples == 5000


def test_times_need_a_zone() -> None:
    path = shared_data("ecg", "dicom", "ecgtoolkit_example.dcm")
    assert dicom.read(path).acquired_at is None
    china = timezone(timedelta(hours=8))
    assert dicom.read(path, china).acquired_at == datetime(2002, 11, 22, 1, 10, tzinfo=UTC)
    own = dicom.read(shared_data("ecg", "dicom", "ecgprocess_example-DICOM1.dcm"), china)
    assert own.acquired_at == datetime(2023, 1, 4, 7, 58, 44, tzinfo=UTC)  # its own +0100 wins
