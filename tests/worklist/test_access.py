"""Who may do what, and that the rule of sight says the same in Python and in SQL."""

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.conftest import Clock
from tests.worklist.county import actor, add_study, make_county
from worklist.access import (
    ACTS_BY_ROLE,
    KINDS,
    ROLES,
    Act,
    Refused,
    can_see_study,
    check,
    check_study,
    may,
)
from worklist.access_store import has_broken_glass, visible_studies, visible_study
from worklist.account_tables import Account
from worklist.base.db import Database
from worklist.tables import BreakGlass, Study

# What issue 2 ("Accounts") and the contract of names say, written out by hand: not read from the table under test.
MAY_NOT = {
    "technician": {Act.REPORT_SIGN, Act.REPORT_WRITE, Act.REPORT_READ, Act.WORKITEM_CLAIM, Act.ADMIN_SETTINGS},
    "reader": {Act.REPORT_VERIFY, Act.DELIVERY_ACKNOWLEDGE, Act.ADMIN_SETTINGS, Act.QUARANTINE_HEADERS},
    "reviewer": {Act.DELIVERY_ACKNOWLEDGE, Act.ADMIN_ACCOUNTS},
    "trainee": {Act.REPORT_SIGN, Act.REPORT_VERIFY, Act.DELIVERY_ACKNOWLEDGE, Act.BREAK_GLASS_USE},
    "clinician": {Act.REPORT_WRITE, Act.REPORT_SIGN, Act.WORKITEM_CLAIM, Act.ADMIN_QUEUE},
    "manager": {Act.STUDY_READ, Act.STUDY_VIEW_IMAGES, Act.REPORT_READ, Act.WORKLIST_READ, Act.ADMIN_SETTINGS},
    "admin": {Act.STUDY_READ, Act.STUDY_VIEW_IMAGES, Act.REPORT_READ, Act.WORKLIST_READ, Act.BREAK_GLASS_USE},
}
MAY = {
    "technician": {Act.ORDER_CREATE, Act.ECG_UPLOAD},
    "reader": {Act.WORKITEM_CLAIM, Act.REPORT_SIGN, Act.STUDY_VIEW_IMAGES},
    "reviewer": {Act.REPORT_VERIFY, Act.REPORT_SIGN},
    "trainee": {Act.REPORT_WRITE},
    "clinician": {Act.REPORT_READ, Act.DELIVERY_ACKNOWLEDGE},
    "manager": {Act.STATISTICS_READ},
    "admin": {Act.ADMIN_SETTINGS, Act.ADMIN_QUEUE, Act.QUARANTINE_HEADERS},
}


@pytest.mark.parametrize("role", ROLES)
def test_role_may_what_the_issue_says_and_not_more(role: str) -> None:
    person = actor(role, 1)
    assert all(may(person, act) for act in MAY[role])
    for act in MAY_NOT[role]:
        with pytest.raises(Refused) as refused:
            check(person, act)
        assert (refused.value.code, refused.value.params) == ("forbidden", {"act": act.value})


def test_every_act_belongs_to_someone_and_unknown_ones_to_nobody() -> None:
    assert set(ACTS_BY_ROLE) == set(ROLES)
    assert set().union(*ACTS_BY_ROLE.values()) == set(Act)
    assert not may(actor("admin", 1), "no.such_act")
    assert not may(actor("director", 1), Act.SESSION_OWN)


@pytest.mark.parametrize(
    ("role", "kinds", "expected"),  # own image, own ecg, other site's image, other site's ecg
    [
        ("technician", (), (True, True, False, False)),
        ("clinician", (), (True, True, False, False)),
        ("reader", ("image",), (True, False, True, False)),
        ("reader", (), (False, False, False, False)),
        ("reviewer", ("ecg",), (False, True, False, True)),
        ("trainee", ("image", "ecg"), (True, True, True, True)),
        ("manager", ("image", "ecg"), (False, False, False, False)),
        ("admin", ("image", "ecg"), (False, False, False, False)),
    ],
)
def test_whose_studies_a_role_sees(role: str, kinds: tuple[str, ...], expected: tuple[bool, ...]) -> None:
    person = actor(role, 7, kinds=kinds)
    seen = tuple(can_see_study(person, site, kind) for site, kind in itertools.product((7, 8), ("image", "ecg")))
    assert seen == expected


@pytest.mark.parametrize("role", ROLES)
def test_broken_glass_opens_only_for_roles_that_may_break_it(role: str) -> None:
    opened = can_see_study(actor(role, 7), 8, "image", broken_glass=True)
    assert opened == (role in ("reader", "reviewer", "clinician"))


def test_a_study_out_of_sight_is_not_found_but_a_foreign_act_is_forbidden() -> None:
    with pytest.raises(Refused, match="not_found"):
        check_study(actor("clinician", 7), Act.REPORT_READ, 8, "image")
    with pytest.raises(Refused, match="forbidden"):
        check_study(actor("technician", 7), Act.REPORT_READ, 7, "image")
    check_study(actor("clinician", 7), Act.REPORT_READ, 7, "image")


GRANTS = st.lists(
    st.tuples(
        st.integers(0, 13),  # whose, by place in the account table
        st.integers(0, 7),  # which study
        st.integers(-90, 30),  # granted, minutes from now
        st.integers(-60, 60),  # expires, minutes from now
    ),
    max_size=6,
)


def test_python_and_sql_agree_on_sight(database: Database, clock: Clock) -> None:
    """Random grants, roles, sites and kinds: the pure rule and the where-clause keep the same studies."""
    now = clock()
    sites = make_county(database, now)
    with database.write() as session:
        for number, (site_id, kind) in enumerate(itertools.product(sites.values(), KINDS)):
            add_study(session, site_id, kind, f"1.2.3.{number}", now)
        accounts = list(session.scalars(select(Account.id).order_by(Account.id)))
        studies = {row.id: (row.site_id, row.kind) for row in session.scalars(select(Study).order_by(Study.id))}

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        grants=GRANTS,
        role=st.sampled_from(ROLES),
        site_id=st.sampled_from(sorted(sites.values())),
        kinds=st.sets(st.sampled_from(KINDS)),
        who=st.integers(0, 13),
    )
    def agree(grants: list[tuple[int, int, int, int]], role: str, site_id: int, kinds: set[str], who: int) -> None:
        person = actor(role, site_id, kinds=tuple(kinds), account_id=accounts[who])
        with database.read() as session:  # rolled back: each example has its own grants
            for account, study, granted, expires in grants:
                session.add(
                    BreakGlass(
                        account_id=accounts[account],
                        study_id=sorted(studies)[study],
                        reason="胸痛急诊",
                        granted_at=now + timedelta(minutes=granted),
                        expires_at=now + timedelta(minutes=expires),
                    )
                )
            session.flush()
            broken = {
                sorted(studies)[study]
                for account, study, granted, expires in grants
                if account == who and granted <= 0 < expires
            }
            expected = {
                study for study, (site, kind) in studies.items() if can_see_study(person, site, kind, study in broken)
            }
            assert set(session.scalars(select(Study.id).where(visible_studies(person, now)))) == expected
            assert {study for study in studies if has_broken_glass(session, person, study, now)} == broken

    agree()


def test_visible_study_tells_absent_and_foreign_apart_from_nobody(database: Database, clock: Clock) -> None:
    now: datetime = clock()
    sites = make_county(database, now)
    with database.write() as session:
        add_study(session, sites["BAISHUI"], "image", "1.2.3", now)
    own, foreign = actor("clinician", sites["BAISHUI"]), actor("clinician", sites["QINGSHAN"])
    with database.read() as session:
        assert visible_study(session, own, Act.STUDY_READ, "1.2.3", now).site_id == sites["BAISHUI"]
        refusals = []
        for uid in ("1.2.3", "9.9.9"):
            with pytest.raises(Refused) as refused:
                visible_study(session, foreign, Act.STUDY_READ, uid, now)
            refusals.append((refused.value.code, refused.value.params))
    assert refusals == [("not_found", {}), ("not_found", {})]
