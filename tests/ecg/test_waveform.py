"""Recordings: what they refuse, how leads are named, and the limb leads that follow from I and II."""

from datetime import datetime

import numpy as np
import pytest

from ecg.formats import dicom
from ecg.waveform import (
    DigitalRecording,
    EcgError,
    Recording,
    lead_name,
    select_leads,
    with_derived_limb_leads,
)
from tests.peers.data import shared_data


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Lead I (Einthoven)", "I"), ("Lead II\0", "II"), ("MDC_ECG_LEAD_AVR", "aVR"), ("avl", "aVL"), ("v4", "V4"),
        ("vx", "X"), ("MLII", "MLII"), ("mlii", "MLII"), ("V3R", "V3R"), ("-avr", "-aVR"), ("Lead V1 ", "V1"),
        ("Pleth<script>", "Pleth<script>"), ("x" * 40, "x" * 16), ("\x1b\0", ""),
    ],
)  # fmt: skip
def test_lead_names_of_real_devices(raw: str, name: str) -> None:
    assert lead_name(raw) == name


@pytest.mark.parametrize(
    ("shape", "leads", "rate", "code"),
    [
        ((10, 2), ("I",), 500.0, "bad_shape"),
        ((0, 1), ("I",), 500.0, "no_samples"),
        ((10, 1), ("I",), 0.0, "bad_sampling_rate"),
        ((10, 1), ("I",), float("nan"), "bad_sampling_rate"),
        ((10, 2), ("V1", "V1"), 500.0, "duplicate_lead"),
    ],
)
def test_refused_recordings(shape: tuple[int, int], leads: tuple[str, ...], rate: float, code: str) -> None:
    with pytest.raises(EcgError) as refusal:
        Recording(np.zeros(shape), rate, leads)
    assert refusal.value.code == code


def test_naive_times_and_writing_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        Recording(np.zeros((2, 1)), 500, ("I",), datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="read-only"):
        Recording(np.zeros((2, 1)), 500, ("I",)).samples_uv[0, 0] = 1


def test_digital_to_microvolts() -> None:
    digital = DigitalRecording(np.array([[1024], [1224], [-2048]]), 360, ("MLII",), (5.0,), (1024,), (-2048,), 12)
    np.testing.assert_array_equal(digital.recording().lead_uv("MLII"), [0.0, 1000.0, np.nan])


@pytest.mark.parametrize("name", ["anonymous_ecg.dcm", "ecgtoolkit_example.dcm", "ecgprocess_example-DICOM1.dcm"])
def test_derived_limb_leads_are_those_the_device_wrote(name: str) -> None:
    """The device computed and rounded its own III, aVR, aVL, aVF from its I and II: a few of its steps at most."""
    recording = dicom.read(shared_data("ecg", "dicom", name))
    eight = select_leads(recording, ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
    derived = with_derived_limb_leads(eight)
    assert derived.derived == {"III", "aVR", "aVL", "aVF"}
    for lead in derived.derived:
        assert np.abs(derived.lead_uv(lead) - recording.lead_uv(lead)).max() <= 10.0
    assert with_derived_limb_leads(recording) is recording


def test_select_leads_names_the_missing_one() -> None:
    with pytest.raises(EcgError) as refusal:
        select_leads(Recording(np.zeros((2, 1)), 500, ("I",)), ("V9",))
    assert (refusal.value.code, refusal.value.params) == ("missing_lead", {"lead": "V9"})
