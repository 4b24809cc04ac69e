"""Orders, lanes, due times, names and readiness, by values alone."""

from datetime import UTC, date, datetime, timedelta

import pytest

from worklist import triage
from worklist.order import Match, OrderFacts, accession_number, match
from worklist.person import age_text, identity_key, name_initials, name_pinyin
from worklist.study import Evidence, Ready, StepEvidence, Waits, modality_of, weigh

NOW = datetime(2026, 11, 18, 6, 18, tzinfo=UTC)
DAY = date(2026, 11, 18)


def facts(
    accession: str | None = "QS1", patient: str | None = "1", modality: str = "CT", day: date = DAY
) -> OrderFacts:
    return OrderFacts(accession, patient, "郑立群", modality, day)


@pytest.mark.parametrize(
    ("order", "study", "expected"),
    [
        (facts(), facts(), Match.CERTAIN),
        (facts(), facts(modality="DR"), Match.CERTAIN),  # the accession number decides
        (facts(), facts(patient="2"), Match.SUGGESTED),  # same number, other person: somebody must look
        (facts(), facts(accession=None), Match.SUGGESTED),
        (facts(), facts(accession="QS2"), Match.SUGGESTED),
        (facts(), facts(accession=None, day=DAY + timedelta(days=1)), Match.NONE),
        (facts(), facts(accession=None, modality="DR"), Match.NONE),
        (facts(patient=None), facts(accession=None, patient=None), Match.NONE),  # two unknowns are not one person
        (facts(patient=None), facts(), Match.CERTAIN),
    ],
)
def test_match(order: OrderFacts, study: OrderFacts, expected: Match) -> None:
    assert match(order, study) is expected


def test_accession_number_fits_sh() -> None:
    assert accession_number("QS", DAY, 291) == "QS26111800291"
    assert len(accession_number("QSAB", DAY, 99_999)) <= 16
    with pytest.raises(ValueError):
        accession_number("QS", DAY, 100_000)


@pytest.mark.parametrize(
    ("modality", "part", "priority", "pathway", "minutes"),
    [
        ("CT", "HEAD", "stat", "stroke", 45), ("ECG", "", "stat", "chest_pain", 10),
        ("DR", "CHEST", "urgent", None, 30),
        ("CT", "CHEST", "urgent", None, 60), ("CT", "HEAD", "urgent", None, 30), ("DR", "", "routine", None, 120),
        ("CT", "", "routine", None, 240), ("ECG", "", "routine", None, 30),
    ],
)  # fmt: skip
def test_due_times_are_the_county_defaults(
    modality: str, part: str, priority: str, pathway: str | None, minutes: int
) -> None:
    assert triage.due_at(NOW, modality, part, priority, pathway) == NOW + timedelta(minutes=minutes)


def test_identity_is_id_name_sex_and_birth_date_together() -> None:
    born = date(1963, 7, 5)
    base = identity_key("0001", "郑立群", "M", born, "1.2.3")
    assert base == identity_key("0001", "郑立群 ", "M", born, "9.9")
    others = [
        identity_key("0001", "郑立裙", "M", born, "1.2.3"), identity_key("0001", "郑立群", "F", born, "1.2.3"),
        identity_key("0002", "郑立群", "M", born, "1.2.3"), identity_key("0001", "郑立群", "M", None, "1.2.3"),
        identity_key(None, "郑立群", "M", born, "1.2.3"),
    ]  # fmt: skip
    assert len({base, *others}) == 6


def test_without_a_patient_id_each_study_is_its_own_person() -> None:
    assert identity_key(None, "无名氏", None, None, "1.2.3") != identity_key(None, "无名氏", None, None, "1.2.4")


def test_names_by_pinyin() -> None:
    assert (name_pinyin("郑立群"), name_initials("郑立群")) == ("zhengliqun", "zlq")
    assert (name_pinyin("Zhang San"), name_initials("Zhang San")) == ("zhangsan", "zs")
    assert [name_pinyin(name) for name in ("单小红", "尉迟恭", "曾国藩")] == ["shanxiaohong", "yuchigong", "zengguofan"]
    assert name_initials("尉迟恭") == "ycg"


@pytest.mark.parametrize(
    ("born", "expected"),
    [
        (date(1963, 7, 5), (63, "year")), (date(1963, 11, 19), (62, "year")), (date(2025, 2, 1), (21, "month")),
        (date(2026, 11, 10), (8, "day")), (None, None), (date(2027, 1, 1), None),
    ],
)  # fmt: skip
def test_age(born: date | None, expected: tuple[int, str] | None) -> None:
    assert age_text(born, DAY) == expected


def seen(n_instances: int = 28, **values: object) -> Evidence:
    common: dict[str, object] = {"last_received_at": NOW, "quiet_time_s": 20, "open_associations": 0}
    return Evidence(n_instances=n_instances, **common | values)  # type: ignore[arg-type]


DONE = StepEvidence("COMPLETED", 28, 0)
BUSY = StepEvidence("IN PROGRESS", 0, 0)
STOPPED = StepEvidence("DISCONTINUED", 5, 0, "113501")


@pytest.mark.parametrize(
    ("evidence", "after_s", "verdict"),
    [
        (seen(), 19, Waits.QUIET_TIME), (seen(open_associations=1), 60, Waits.ASSOCIATION),
        (seen(0), 60, Waits.ASSOCIATION), (seen(), 20, Ready.QUIET), (seen(n_committed=28), 20, Ready.COMMITMENT),
        (seen(steps=(DONE,)), 0, Ready.LISTED), (seen(steps=(DONE,), open_associations=1), 0, Waits.ASSOCIATION),
        (seen(steps=(DONE, BUSY)), 60, Waits.STEP), (seen(steps=(BUSY,)), 1799, Waits.STEP),
        (seen(steps=(BUSY,)), 1800, Ready.QUIET), (seen(steps=(STOPPED,)), 0, Ready.LISTED),
        (seen(steps=(StepEvidence("COMPLETED", 0, 0),)), 19, Waits.QUIET_TIME),
        (seen(steps=(StepEvidence("COMPLETED", 29, 1),), n_missing=1), 19, Waits.QUIET_TIME),
        (seen(steps=(StepEvidence("COMPLETED", 29, 1),), n_missing=1), 86400, Waits.MISSING),
        (seen(n_committed=29, n_missing=1), 86400, Waits.MISSING),
        (seen(steps=(DONE,), released_at=NOW), 1, Ready.RELEASED), (seen(released_at=NOW), 20, Ready.RELEASED),
    ],
)  # fmt: skip
def test_what_speaks_for_completeness_is_weighed(evidence: Evidence, after_s: int, verdict: Waits | Ready) -> None:
    assert weigh(evidence, NOW + timedelta(seconds=after_s)) == verdict
    assert evidence.as_json(verdict)["kind" if isinstance(verdict, Ready) else "waits_for"] == verdict


def test_modalities_as_the_list_groups_them() -> None:
    assert [modality_of(m, "image") for m in ("DX", "CR", "CT", "MR")] == ["DR", "DR", "CT", "MR"]
    assert modality_of("ECG", "ecg") == "ECG"
