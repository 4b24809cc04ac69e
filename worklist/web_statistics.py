"""Statistics: times and shares of lanes and sites, each with its n and its definition. [web]"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy.orm import Session

from worklist import statistics_store
from worklist.access import Act
from worklist.statistics import (
    FEW,
    PERIODS,
    Group,
    ReportFact,
    by_lane,
    group,
    indicators,
    limits_min,
    period_start,
)
from worklist.web import WebError, now, read, route_needs, services, t

statistics = Blueprint("statistics", __name__)

PARTS = ("numerator", "denominator", "start", "end", "excluded")
KPIS = ("signed", "median", "in_time", "delivered", "acknowledged", "waiting")


@statistics.get("/statistics")
@route_needs(Act.STATISTICS_READ, summary="Statistics")
def statistics_page() -> str:
    return render_template("statistics.html")


@statistics.get("/api/statistics")
@route_needs(Act.STATISTICS_READ, summary="Indicators, lanes and sites of a period; aggregates only", query=["period"])
def api_statistics() -> dict[str, Any]:
    period = request.args.get("period", "today")
    if period not in PERIODS:
        raise WebError(400, "field_choice", field="period", choices=list(PERIODS))
    start = period_start(period, now(), services().settings.zone)
    with read() as session:
        facts = statistics_store.facts(session, start, now())
        return {
            "period": period, "from": start.isoformat(), "to": now().isoformat(), "few": FEW,
            "kpis": indicators(facts, statistics_store.waiting(session)),
            "lanes": [_lane_json(name, rows) for name, rows in by_lane(facts).items()],
            "sites": _sites_json(session, facts),
            "definition": {code: _definition(code) for code in KPIS},
        }  # fmt: skip


def _lane_json(name: str, facts: Sequence[ReportFact]) -> dict[str, Any]:
    """``limit_min`` where the lane has one limit, else None and all of them in ``limits_min``."""
    limits = limits_min(facts)
    return {
        "lane": name, **_group_json(group(facts)), "limits_min": limits,
        "limit_min": limits[0] if len(limits) == 1 else None,
    }  # fmt: skip


def _sites_json(session: Session, facts: Sequence[ReportFact]) -> list[dict[str, Any]]:
    oldest = statistics_store.oldest_unacknowledged(session)
    return [
        {
            "code": site.code, "name": site.name_zh, "name_en": site.name_en,
            **_group_json(group([fact for fact in facts if fact.site_id == site.id])),
            "oldest_unacknowledged_min": _age_min(oldest, site.id),
        }
        for site in statistics_store.sites(session)
        if not site.reads or any(fact.site_id == site.id for fact in facts)
    ]  # fmt: skip


def _age_min(oldest: Mapping[int, datetime], site_id: int) -> int | None:
    return int((now() - oldest[site_id]).total_seconds() // 60) if site_id in oldest else None


def _group_json(found: Group) -> dict[str, Any]:
    return {
        "n": found.n, "median_min": found.median_min, "p90_min": found.p90_min,
        "in_time_percent": found.in_time_percent, "few": found.few,
    }  # fmt: skip


def _definition(code: str) -> dict[str, str]:
    """What an indicator counts, in words, part by part."""
    return {part: t(f"statistics.{code}.{part}") for part in PARTS}
