"""Who may do what, on whose studies: one table of roles and acts, and one rule of sight. [domain]

Two questions are asked for every act. ``check(actor, act)``: does the role do such things at all?
``can_see_study(...)``: is this study within the person's sight? ``worklist.access_store`` says the
second in SQL, so that a query never returns what a page would have to hide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ROLES = ("technician", "reader", "reviewer", "trainee", "clinician", "manager", "admin")
KINDS = ("image", "ecg")


class Act(StrEnum):
    """What can be done. The value is what stands in audit rows."""

    SESSION_OWN = "session.own"  # one's own login: who am I, language, log out
    EVENTS_STREAM = "events.stream"
    WORKLIST_READ = "worklist.read"
    STUDY_READ = "study.read"  # what a study is: patient, series, readiness; no pixels
    STUDY_VIEW_IMAGES = "study.view_images"
    STUDY_STORE = "study.store"  # DICOM objects uploaded by a person (STOW-RS, import page)
    ORDER_READ = "order.read"
    ORDER_CREATE = "order.create"
    ORDER_MATCH = "order.match"  # confirm or refuse a suggested order
    ECG_UPLOAD = "ecg.upload"
    WORKITEM_CLAIM = "workitem.claim"
    WORKITEM_REASSIGN = "workitem.reassign"
    STUDY_RELEASE = "study.release"  # go on without images that a device lists
    WORKITEM_RETAKE = "workitem.retake"  # return a study whose images do not do
    REPORT_READ = "report.read"
    REPORT_WRITE = "report.write"
    REPORT_SIGN = "report.sign"
    REPORT_VERIFY = "report.verify"
    DELIVERY_READ = "delivery.read"
    DELIVERY_ACKNOWLEDGE = "delivery.acknowledge"
    PORTAL_READ = "portal.read"
    BREAK_GLASS_USE = "break_glass.use"
    STATISTICS_READ = "statistics.read"
    ADMIN_SETTINGS = "admin.settings"  # sites, devices, return addresses
    ADMIN_ACCOUNTS = "admin.accounts"  # people, roles, tokens
    ADMIN_QUEUE = "admin.queue"  # outbox and deliveries, resend
    ADMIN_AUDIT = "admin.audit"
    QUARANTINE_HEADERS = "quarantine.headers"
    PERSON_LINK = "person.link"  # say which patients of several sites are one person
    IDENTITY_REPAIR = "identity.repair"  # move, merge, split; reject instances


_EVERYONE = frozenset({Act.SESSION_OWN})
_SEES_STUDIES = _EVERYONE | {
    Act.EVENTS_STREAM, Act.WORKLIST_READ, Act.STUDY_READ, Act.STUDY_VIEW_IMAGES, Act.ORDER_READ, Act.DELIVERY_READ,
}  # fmt: skip
_DRAFTS = _SEES_STUDIES | {Act.WORKITEM_CLAIM, Act.REPORT_READ, Act.REPORT_WRITE}
_READS = _DRAFTS | {
    Act.REPORT_SIGN, Act.WORKITEM_REASSIGN, Act.WORKITEM_RETAKE, Act.ORDER_MATCH, Act.BREAK_GLASS_USE,
    Act.STUDY_RELEASE,
}  # fmt: skip

# The table. An act that does not stand here for a role is refused.
ACTS_BY_ROLE: Mapping[str, frozenset[Act]] = {
    "technician": _SEES_STUDIES
    | {Act.ORDER_CREATE, Act.ORDER_MATCH, Act.ECG_UPLOAD, Act.STUDY_STORE, Act.STUDY_RELEASE},
    "reader": _READS,
    "reviewer": _READS | {Act.REPORT_VERIFY, Act.PERSON_LINK},
    "trainee": _DRAFTS,  # writes, but never publishes: neither signs nor verifies
    "clinician": _SEES_STUDIES
    | {Act.REPORT_READ, Act.PORTAL_READ, Act.DELIVERY_ACKNOWLEDGE, Act.BREAK_GLASS_USE},
    "manager": _EVERYONE | {Act.STATISTICS_READ},
    "admin": _EVERYONE
    | {
        Act.EVENTS_STREAM, Act.ADMIN_SETTINGS, Act.ADMIN_ACCOUNTS, Act.ADMIN_QUEUE, Act.ADMIN_AUDIT,
        Act.QUARANTINE_HEADERS, Act.PERSON_LINK, Act.IDENTITY_REPAIR,
    },
}  # fmt: skip

# Whose studies a role sees. A role in neither set sees no study at all, broken glass or not.
ROLES_OF_OWN_SITE = frozenset({"technician", "clinician"})
ROLES_OF_OWN_KINDS = frozenset({"reader", "reviewer", "trainee"})


@dataclass(frozen=True)
class Actor:
    """The person (or token) behind a request. ``kinds`` ⊆ KINDS; ``sitting`` names the login in audit rows."""

    account_id: int
    username: str
    name: str
    role: str
    site_id: int
    site_code: str
    kinds: frozenset[str]
    sitting: str
    language: str


class Refused(Exception):
    """The actor may not: ``forbidden`` (role), ``not_found`` (out of sight: its existence is not told), …"""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


def may(actor: Actor, act: Act | str) -> bool:
    """Whether the actor's role does such acts. False for unknown roles and unknown acts."""
    return act in ACTS_BY_ROLE.get(actor.role, frozenset())


def check(actor: Actor, act: Act | str) -> None:
    """Raises Refused("forbidden", act=…) unless ``may(actor, act)``."""
    if not may(actor, act):
        raise Refused("forbidden", act=str(act))


def can_see_study(actor: Actor, site_id: int, kind: str, broken_glass: bool = False) -> bool:
    """Whether a study of ``site_id`` and ``kind`` is within the actor's sight.

    ``broken_glass``: an unexpired break-glass grant of this actor for this study exists; it counts
    only for roles that may break glass.
    """
    if actor.role in ROLES_OF_OWN_SITE and actor.site_id == site_id:
        return True
    if actor.role in ROLES_OF_OWN_KINDS and kind in actor.kinds:
        return True
    return broken_glass and may(actor, Act.BREAK_GLASS_USE)


def check_study(actor: Actor, act: Act | str, site_id: int, kind: str, broken_glass: bool = False) -> None:
    """Raises Refused("forbidden") for the act, Refused("not_found") for a study out of sight."""
    check(actor, act)
    if not can_see_study(actor, site_id, kind, broken_glass):
        raise Refused("not_found")
