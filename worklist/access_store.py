"""The rule of sight of ``worklist.access``, as SQL. [store]"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import Session

from worklist.access import KINDS, ROLES_OF_OWN_KINDS, ROLES_OF_OWN_SITE, Act, Actor, Refused, check, may
from worklist.tables import BreakGlass, Study


def visible_studies(actor: Actor, now: datetime, of: type[Study] = Study) -> ColumnElement[bool]:
    """The where-clause on Study that keeps what ``actor`` may see at ``now``.

    ``select(Study).where(visible_studies(actor, now))``; also right in any query that joins Study, or with
    ``of`` an alias of it.
    """
    clauses: list[ColumnElement[bool]] = []
    if actor.role in ROLES_OF_OWN_SITE:
        clauses.append(of.site_id == actor.site_id)
    if actor.role in ROLES_OF_OWN_KINDS:
        clauses.append(of.kind.in_(sorted(actor.kinds & set(KINDS))))
    if may(actor, Act.BREAK_GLASS_USE):
        clauses.append(of.id.in_(select(BreakGlass.study_id).where(_unexpired(actor, now))))
    return or_(*clauses) if clauses else false()


def has_broken_glass(session: Session, actor: Actor, study_id: int, now: datetime) -> bool:
    """Whether an unexpired grant of this actor for this study exists."""
    query = select(BreakGlass.id).where(_unexpired(actor, now), BreakGlass.study_id == study_id).limit(1)
    return session.scalar(query) is not None


def sees_one_site(session: Session, actor: Actor, now: datetime) -> bool:
    """Whether ``visible_studies`` is the actor's own site and nothing else at ``now``."""
    if actor.role not in ROLES_OF_OWN_SITE or actor.role in ROLES_OF_OWN_KINDS:
        return False
    if not may(actor, Act.BREAK_GLASS_USE):
        return True
    return session.scalar(select(BreakGlass.id).where(_unexpired(actor, now)).limit(1)) is None


def visible_study(session: Session, actor: Actor, act: Act | str, study_instance_uid: str, now: datetime) -> Study:
    """The study, when the actor may do ``act`` on it.

    Raises Refused: ``forbidden`` (role), ``not_found`` (absent or out of sight, told apart by nobody).
    """
    check(actor, act)
    study = session.scalar(
        select(Study).where(Study.study_instance_uid == study_instance_uid, visible_studies(actor, now))
    )
    if study is None:
        raise Refused("not_found")
    return study


def _unexpired(actor: Actor, now: datetime) -> ColumnElement[bool]:
    return and_(BreakGlass.account_id == actor.account_id, BreakGlass.granted_at <= now, BreakGlass.expires_at > now)
