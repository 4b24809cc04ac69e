"""A recording: samples in microvolts with their rate and lead names, and the leads that follow from others. [domain]"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
# Lead = a * I + b * II (Einthoven's and Goldberger's equations), exact for simultaneous samples.
LIMB_FACTORS = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
LONGEST_LEAD_NAME = 16
_FACE = {"AVR": "aVR", "AVL": "aVL", "AVF": "aVF", "VX": "X", "VY": "Y", "VZ": "Z"}


class EcgError(Exception):
    """A recording that cannot be shown as it is; ``code`` is snake_case, ``params`` are the words of its sentence."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code, params)
        self.code = code
        self.params = params


@dataclass(frozen=True, eq=False)
class Recording:
    """``samples_uv`` float64 (n_samples, n_leads), NaN where nothing was recorded; one name of ``leads`` per column.

    ``filter_low_hz``/``filter_high_hz`` bound the band the device passed, ``notch_hz`` its mains filter
    (0.0 = the device says off); None where unknown or not the same in all leads. ``derived`` are the leads
    computed from others. ``acquired_at`` is aware, None where the file's clock has no known zone.
    Raises EcgError no_samples, bad_sampling_rate, bad_shape, duplicate_lead.
    """

    samples_uv: NDArray[np.float64]
    sampling_rate_hz: float
    leads: tuple[str, ...]
    acquired_at: datetime | None = None
    filter_low_hz: float | None = None
    filter_high_hz: float | None = None
    notch_hz: float | None = None
    device: str = ""
    derived: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        samples = np.array(self.samples_uv, dtype=np.float64)
        check_shape(samples.shape, self.leads, self.sampling_rate_hz)
        if self.acquired_at is not None and self.acquired_at.tzinfo is None:
            raise ValueError("acquired_at must be aware")
        samples.setflags(write=False)
        object.__setattr__(self, "samples_uv", samples)

    @property
    def n_samples(self) -> int:
        """Samples per lead."""
        return int(self.samples_uv.shape[0])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sampling_rate_hz

    def lead_uv(self, lead: str) -> NDArray[np.float64]:
        """The samples (n_samples,) of one lead in microvolts; raises KeyError where there is none."""
        if lead not in self.leads:
            raise KeyError(lead)
        column: NDArray[np.float64] = self.samples_uv[:, self.leads.index(lead)]
        return column


@dataclass(frozen=True, eq=False)
class DigitalRecording:
    """The exact stored integers: microvolts = (sample - baseline) * sensitivity_uv, per lead.

    ``samples`` int64 (n_samples, n_leads); ``missing`` is the integer that means "nothing recorded" in that lead,
    None where the format has none; ``bits_stored`` is the width the format keeps per sample (8..32).
    """

    samples: NDArray[np.int64]
    sampling_rate_hz: float
    leads: tuple[str, ...]
    sensitivity_uv: tuple[float, ...]
    baseline: tuple[int, ...]
    missing: tuple[int | None, ...]
    bits_stored: int

    def __post_init__(self) -> None:
        samples = np.array(self.samples, dtype=np.int64)
        check_shape(samples.shape, self.leads, self.sampling_rate_hz)
        samples.setflags(write=False)
        object.__setattr__(self, "samples", samples)

    def samples_uv(self) -> NDArray[np.float64]:
        """The samples in microvolts (n_samples, n_leads), NaN where missing."""
        values: NDArray[np.float64] = (self.samples - np.array(self.baseline)) * np.array(self.sensitivity_uv)
        for column, code in enumerate(self.missing):
            if code is not None:
                values[self.samples[:, column] == code, column] = np.nan
        return values

    def recording(self, acquired_at: datetime | None = None, device: str = "") -> Recording:
        """The same as a Recording."""
        return Recording(self.samples_uv(), self.sampling_rate_hz, self.leads, acquired_at, device=device)


def check_shape(shape: tuple[int, ...], leads: Sequence[str], sampling_rate_hz: float) -> None:
    """Raises EcgError where samples of ``shape`` cannot be these leads at this rate."""
    if len(shape) != 2 or shape[1] != len(leads):
        raise EcgError("bad_shape", leads=len(leads))
    if 0 in shape:
        raise EcgError("no_samples")
    if not np.isfinite(sampling_rate_hz) or sampling_rate_hz <= 0:
        raise EcgError("bad_sampling_rate", rate=str(sampling_rate_hz))
    twice = {lead for lead in leads if list(leads).count(lead) > 1}
    if twice:
        raise EcgError("duplicate_lead", lead=sorted(twice)[0])


def lead_name(raw: str) -> str:
    """The usual spelling of a lead as a file writes it: ``Lead I (Einthoven)`` I, ``MDC_ECG_LEAD_AVR`` aVR, ``vx`` X.

    Unknown names stay as they are, without control characters and cut to 16 characters; may be empty.
    """
    text = re.sub(r"[\x00-\x1f\x7f]", " ", raw).strip()
    text = re.sub(r"^(MDC_ECG_LEAD_|MDC_ECG_|LEAD[ _]+)", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\s*\(.*\)$", "", text).strip()
    sign, upper = ("-", text[1:].upper()) if text.startswith("-") else ("", text.upper())
    if upper in _FACE:
        return sign + _FACE[upper]
    is_standard = re.fullmatch(r"I{1,3}|V[1-9]R?|ML?II|MCL[1-6]|[XYZ]", upper)
    return sign + upper if is_standard else text[:LONGEST_LEAD_NAME]


def with_derived_limb_leads(recording: Recording) -> Recording:
    """The recording with III, aVR, aVL, aVF computed where they are absent and both I and II are there."""
    absent = tuple(lead for lead in LIMB_FACTORS if lead not in recording.leads)
    if not absent or not {"I", "II"} <= set(recording.leads):
        return recording
    one, two = recording.lead_uv("I"), recording.lead_uv("II")
    computed = [LIMB_FACTORS[lead][0] * one + LIMB_FACTORS[lead][1] * two for lead in absent]
    samples = np.column_stack([recording.samples_uv, *computed])
    return replace(
        recording, samples_uv=samples, leads=recording.leads + absent, derived=recording.derived | frozenset(absent)
    )


def select_leads(recording: Recording, leads: Sequence[str]) -> Recording:
    """Only these leads, in this order. Raises EcgError missing_lead."""
    for lead in leads:
        if lead not in recording.leads:
            raise EcgError("missing_lead", lead=lead)
    columns = [recording.leads.index(lead) for lead in leads]
    return replace(
        recording,
        samples_uv=recording.samples_uv[:, columns],
        leads=tuple(leads),
        derived=recording.derived & frozenset(leads),
    )
