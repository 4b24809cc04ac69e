"""What times and shares mean: medians, P90 and the share in time, from plain facts. [domain]

One fact is one study whose first report was made final in the period. Nothing here names a person; below
``FEW`` facts a group is marked as not to be compared.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from worklist.triage import LANES, lane

PERIODS = ("today", "week", "month")
FEW = 30


@dataclass(frozen=True)
class ReportFact:
    """One study and its first final report. ``ready_at``: images complete, the last time before ``final_at``."""

    site_id: int
    priority: str
    pathway: str | None
    received_at: datetime
    ready_at: datetime
    due_at: datetime
    final_at: datetime
    is_returned: bool  # a machine channel or a person of the site has it
    is_acknowledged: bool

    @property
    def lane(self) -> str:
        return lane(self.priority, self.pathway)

    @property
    def reading_min(self) -> float:
        """Minutes from complete images to the final signature, never below 0 (an ECG can be signed at once)."""
        return max(0.0, (self.final_at - self.ready_at).total_seconds() / 60)

    @property
    def is_in_time(self) -> bool:
        return self.final_at <= self.due_at

    @property
    def limit_min(self) -> int:
        return round((self.due_at - self.received_at).total_seconds() / 60)


@dataclass(frozen=True)
class Group:
    """A group of facts; what cannot be said of none is None. ``few``: below FEW, not to be compared."""

    n: int
    median_min: float | None
    p90_min: float | None
    in_time_percent: float | None
    few: bool


def period_start(period: str, now: datetime, zone: ZoneInfo) -> datetime:
    """Local midnight of today, of this week's Monday, or of the month's first day. Raises ValueError."""
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "today":
        return midnight
    if period == "week":
        return midnight - timedelta(days=midnight.weekday())
    if period == "month":
        return midnight.replace(day=1)
    raise ValueError(f"no period {period}")


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The value at ``percent`` of the way, linear between neighbours (Hyndman–Fan type 7); None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    position = (len(ordered) - 1) * percent / 100
    below, above = math.floor(position), math.ceil(position)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def share_percent(facts: Sequence[ReportFact], holds: Callable[[ReportFact], bool]) -> float | None:
    """Of 100 facts, for how many it holds; None of nothing."""
    if not facts:
        return None
    return 100 * sum(1 for fact in facts if holds(fact)) / len(facts)


def group(facts: Sequence[ReportFact]) -> Group:
    """Times and share of a group, minutes and percent to one decimal."""
    times = [fact.reading_min for fact in facts]
    return Group(
        n=len(facts), median_min=_rounded(percentile(times, 50)), p90_min=_rounded(percentile(times, 90)),
        in_time_percent=_rounded(share_percent(facts, lambda fact: fact.is_in_time)), few=len(facts) < FEW,
    )  # fmt: skip


def by_lane(facts: Iterable[ReportFact]) -> Mapping[str, list[ReportFact]]:
    """Facts of each lane in order of urgency; lanes that can hold none yet (critical) are left out when empty."""
    found: dict[str, list[ReportFact]] = {name: [] for name in LANES}
    for fact in facts:
        found[fact.lane].append(fact)
    return {name: rows for name, rows in found.items() if rows or name != "critical"}


def limits_min(facts: Iterable[ReportFact]) -> list[int]:
    """The different limits that stood for these facts, shortest first: a lane has one per kind of examination."""
    return sorted({fact.limit_min for fact in facts})


def indicators(facts: Sequence[ReportFact], n_waiting: int) -> list[dict[str, object]]:
    """The six indicators: code, value or None, unit, and the n it rests on."""
    whole = group(facts)
    n = len(facts)
    returned = _rounded(share_percent(facts, lambda fact: fact.is_returned))
    acknowledged = _rounded(share_percent(facts, lambda fact: fact.is_acknowledged))
    values: list[tuple[str, float | int | None, str, int]] = [
        ("signed", n, "", n), ("median", whole.median_min, "min", n), ("in_time", whole.in_time_percent, "%", n),
        ("delivered", returned, "%", n), ("acknowledged", acknowledged, "%", n), ("waiting", n_waiting, "", n_waiting),
    ]  # fmt: skip
    few = {"signed": False, "waiting": False}
    return [
        {"code": code, "value": value, "unit": unit, "n": count, "few": few.get(code, whole.few)}
        for code, value, unit, count in values
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
