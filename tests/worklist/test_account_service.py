"""Accounts, the lock after wrong passwords, and how long a login lives."""

import hashlib
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import argon2
import pytest
from sqlalchemy import select

from tests.conftest import Clock
from tests.worklist.county import PASSWORD, actor, make_county, password_hash
from worklist.access import Refused
from worklist.account_service import (
    AccountError,
    LoginRefused,
    after_failures,
    check_password,
    create_account,
    hash_password,
    log_in,
    look_up,
    password_matches,
    set_password,
    update_account,
)
from worklist.account_tables import Account, LoginSession
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.session_service import (
    OpenedSession,
    find_session,
    is_worth_touching,
    log_out,
    open_logins,
    revoke,
    touch,
)

TECH = "technician-qingshan"


def attempt(
    db: Database, username: str, password: str, clock: Clock, kind: str = "browser"
) -> OpenedSession | LoginRefused:
    """A login as the web layer makes it: read, compute, write."""
    with db.read() as session:
        found = look_up(session, username)
    matches = password_matches(found, password)
    with db.write() as session:
        return log_in(session, found, matches, kind=kind, now=clock(), source="192.0.2.7")


def opened(outcome: OpenedSession | LoginRefused) -> OpenedSession:
    assert isinstance(outcome, OpenedSession), outcome
    return outcome


def ended(db: Database, secret: str, clock: Clock) -> str | None:
    with db.read() as session:
        found = find_session(session, secret, clock())
    assert found is not None
    return found.ended


def audit_rows(db: Database, act: str) -> list[tuple[str, str, str]]:
    with db.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.act == act).order_by(AuditEvent.id)).all()
    return [(row.actor, row.object_uid, row.result) for row in rows]


def test_only_hashes_are_stored(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    login = opened(attempt(database, TECH, PASSWORD, clock))
    with database.read() as session:
        row = session.scalars(select(LoginSession)).one()
        account = session.scalars(select(Account).where(Account.username == TECH)).one()
    assert row.secret_hash == hashlib.sha256(login.secret.encode()).hexdigest()
    assert len(login.secret) >= 43  # 256 bits in base64url
    assert login.secret not in repr(vars(row))
    assert re.match(r"\$argon2id\$v=19\$m=65536,t=3,p=\d\$", account.password_hash)
    assert argon2.PasswordHasher().verify(account.password_hash, PASSWORD)


def test_username_is_read_as_people_type_it(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    assert opened(attempt(database, " Technician-QINGSHAN ", PASSWORD, clock)).actor.username == TECH
    full_width = "".join(chr(ord(c) + 0xFEE0) for c in TECH)  # an input method left on
    assert opened(attempt(database, full_width, PASSWORD, clock)).actor.username == TECH


@pytest.mark.parametrize("username", [TECH, "nobody", "秘密密码"])
def test_five_wrong_then_locked_for_15_minutes_for_real_and_for_unknown_names(
    database: Database, clock: Clock, username: str
) -> None:
    make_county(database, clock())
    for remaining in (4, 3, 2, 1, 0):
        refusal = attempt(database, username, "wrong password", clock)
        assert refusal == LoginRefused("invalid_credentials", {"remaining": remaining})
        clock.forward(1)
    locked = attempt(database, username, PASSWORD, clock)
    assert locked == LoginRefused("locked", {"retry_after_s": 899, "minutes": 15})
    clock.forward(898)
    assert isinstance(attempt(database, username, PASSWORD, clock), LoginRefused)
    clock.forward(1)  # 15 minutes after the fifth
    again = attempt(database, username, "wrong password", clock)
    assert again == LoginRefused("invalid_credentials", {"remaining": 4})
    results = [result for _, _, result in audit_rows(database, "account.login")]
    assert results == ["invalid_credentials"] * 5 + ["locked"] * 2 + ["invalid_credentials"]


def test_what_is_typed_as_an_unknown_name_is_not_in_the_audit_trail(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    attempt(database, "my-secret-password", "x", clock)
    [(who, object_uid, _)] = audit_rows(database, "account.login")
    assert who == "unknown"
    assert re.fullmatch(r"name:[0-9a-f]{32}", object_uid)


def test_a_right_password_sets_the_count_back(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    for _ in range(4):
        attempt(database, TECH, "wrong password", clock)
    opened(attempt(database, TECH, PASSWORD, clock))
    assert attempt(database, TECH, "wrong password", clock) == LoginRefused("invalid_credentials", {"remaining": 4})


def test_guesses_made_at_once_are_all_counted(database: Database, clock: Clock) -> None:
    """Twelve at the same moment: five are told 'wrong', the others find the lock; none gets in by racing."""
    make_county(database, clock())
    with database.read() as session:
        found = look_up(session, TECH)

    def guess(right: bool) -> LoginRefused | OpenedSession:
        with database.write() as session:
            return log_in(session, found, right, kind="token", now=clock(), source="")

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(guess, [False] * 12))
        late = list(pool.map(guess, [True] * 3))
    codes = sorted(outcome.code for outcome in outcomes if isinstance(outcome, LoginRefused))
    assert codes == ["invalid_credentials"] * 5 + ["locked"] * 7
    assert all(isinstance(outcome, LoginRefused) and outcome.code == "locked" for outcome in late)


def test_unknown_names_take_as_long_as_real_ones(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    with database.read() as session:
        attempts = {"real": look_up(session, TECH), "unknown": look_up(session, "nobody")}
    assert not any(password_matches(found, "wrong") for found in attempts.values())  # warm

    def median_s(name: str) -> float:
        times = []
        for _ in range(5):
            begun = time.process_time()
            password_matches(attempts[name], "wrong password")
            times.append(time.process_time() - begun)
        return statistics.median(times)

    # argon2 takes tens of milliseconds; without the dummy hash the ratio would be in the thousands.
    assert 0.4 < median_s("real") / median_s("unknown") < 2.5


def test_the_dummy_hash_lets_nobody_in(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    assert isinstance(attempt(database, "nobody", "nobody has this password", clock), LoginRefused)


def test_password_changed_between_compare_and_write_does_not_count(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    with database.read() as session:
        found = look_up(session, TECH)
    with database.write() as session:
        set_password(session, None, found.account_id or 0, hash_password("another horse 8"), clock())
    with database.write() as session:
        outcome = log_in(session, found, True, kind="browser", now=clock(), source="")
    assert isinstance(outcome, LoginRefused)


def test_browser_idles_out_after_30_minutes_token_after_12_hours(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    browser = opened(attempt(database, TECH, PASSWORD, clock)).secret
    token = opened(attempt(database, TECH, PASSWORD, clock, "token"))
    assert token.expires_at == clock() + timedelta(hours=12)
    clock.forward(30 * 60 - 1)
    assert ended(database, browser, clock) is None
    clock.forward(1)
    assert ended(database, browser, clock) == "idle"
    clock.forward(11.5 * 3600 - 1)
    assert ended(database, token.secret, clock) is None
    clock.forward(1)
    assert ended(database, token.secret, clock) == "expired"


def test_activity_keeps_a_browser_login_but_no_longer_than_12_hours(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    secret = opened(attempt(database, TECH, PASSWORD, clock)).secret
    writes = 0
    for _ in range(4 * 12):
        clock.forward(15 * 60 - 40)
        for _ in range(2):  # twice within a minute is written once
            with database.write() as session:
                found = find_session(session, secret, clock())
                assert found is not None
                assert found.ended is None
                if is_worth_touching(found, clock()):
                    touch(session, found.secret_hash, clock())
                    writes += 1
            clock.forward(20)
    assert writes == 4 * 12
    assert ended(database, secret, clock) == "expired"


def test_logout_revoke_and_closing_an_account_end_logins(database: Database, clock: Clock) -> None:
    sites = make_county(database, clock())
    admin = opened(attempt(database, "admin-qingshan", PASSWORD, clock)).actor
    one, two, three = (opened(attempt(database, TECH, PASSWORD, clock)) for _ in range(3))
    with database.write() as session:
        log_out(session, one.actor, clock())
        assert {login.sitting for login, name in open_logins(session, admin, clock()) if name == TECH} == {
            two.actor.sitting,
            three.actor.sitting,
        }
        revoke(session, admin, two.actor.sitting, clock())
        with pytest.raises(Refused, match="not_found"):
            revoke(session, admin, two.actor.sitting, clock())
        with pytest.raises(Refused, match="forbidden"):
            revoke(session, actor("reader", sites["QINGSHAN"]), three.actor.sitting, clock())
    assert [ended(database, login.secret, clock) for login in (one, two, three)] == ["logout", "revoked", None]
    with database.write() as session:
        update_account(session, admin, one.actor.account_id, now=clock(), enabled=False)
    with database.read() as session:
        assert find_session(session, three.secret, clock()) is None
    assert isinstance(attempt(database, TECH, PASSWORD, clock), LoginRefused)
    assert audit_rows(database, "account.logout") == [(TECH, one.actor.sitting, "ok")]
    assert audit_rows(database, "account.revoke") == [("admin-qingshan", two.actor.sitting, "ok")]
    assert audit_rows(database, "account.update") == [("admin-qingshan", TECH, "ok")]


def test_a_changed_role_holds_at_the_next_request(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    login = opened(attempt(database, "reader-qingshan", PASSWORD, clock))
    with database.write() as session:
        update_account(session, None, login.actor.account_id, now=clock(), role="trainee")
    with database.read() as session:
        found = find_session(session, login.secret, clock())
    assert found is not None
    assert found.actor.role == "trainee"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"username": "Wang Fang"}, "username_invalid"),
        ({"username": "../etc"}, "username_invalid"),
        ({"username": "TECHNICIAN-qingshan"}, "username_taken"),
        ({"role": "director"}, "role_unknown"),
        ({"kinds": ["image", "ultrasound"]}, "kind_unknown"),
        ({"site_id": 999}, "site_unknown"),
    ],
)
def test_accounts_that_cannot_be(database: Database, clock: Clock, change: dict[str, object], code: str) -> None:
    sites = make_county(database, clock())
    wanted = {
        "username": "wang",
        "name": "王芳",
        "role": "reader",
        "site_id": sites["COUNTY"],
        "kinds": ["image"],
    } | change
    with database.write() as session, pytest.raises(AccountError) as error:
        create_account(session, None, password_hash=password_hash(), now=clock(), **wanted)  # type: ignore[arg-type]
    assert error.value.code == code


def test_an_admin_cannot_close_or_demote_themselves(database: Database, clock: Clock) -> None:
    make_county(database, clock())
    admin = opened(attempt(database, "admin-qingshan", PASSWORD, clock)).actor
    for change in ({"enabled": False}, {"role": "reader"}):
        with database.write() as session, pytest.raises(AccountError, match="account_own"):
            update_account(session, admin, admin.account_id, now=clock(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("seven77", "password_short"),
        ("a" * 257, "password_long"),
        ("aaaaaaaaaa", "password_plain"),
        ("xZhang.San9", "password_plain"),
    ],
)
def test_passwords_that_are_refused(password: str, code: str) -> None:
    with pytest.raises(AccountError) as error:
        check_password(password, "zhang.san")
    assert error.value.code == code
    check_password("马到成功 8 匹", "zhang.san")


def test_failures_replay_the_lock(clock: Clock) -> None:
    start = clock()
    four = [start + timedelta(seconds=second) for second in range(4)]
    assert after_failures([], start).params == {"remaining": 4}
    assert after_failures(four, start).params == {"remaining": 0}
    assert after_failures([*four, start], start + timedelta(minutes=14)).code == "locked"
    assert after_failures([*four, start], start + timedelta(minutes=15)).params == {"remaining": 4}
