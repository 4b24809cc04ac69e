"""What a request has at hand: database, settings, the time, the language, the adapters. [web]"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

from flask import Blueprint, current_app, g, has_request_context, request
from sqlalchemy.orm import Session

from worklist.access import Actor
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.base.i18n import LANGUAGES, language_of, translate
from worklist.session_service import FoundSession

LANGUAGE_COOKIE = "teleread_language"
_REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class WebServices:
    """What the roof hands to the pages. ``adapters`` are plain callables by name (render_pdf, sign, …)."""

    db: Database
    settings: Settings
    now: Callable[[], datetime]
    blueprints: Sequence[Blueprint] = ()
    adapters: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    bundle_dir: Path = _REPOSITORY / "viewer" / "static" / "dist"
    template_dirs: Sequence[Path] = (
        _REPOSITORY / "worklist" / "templates",
        _REPOSITORY / "reports" / "templates",
        _REPOSITORY / "viewer" / "templates",
    )


def services() -> WebServices:
    """What the roof handed in."""
    return cast(WebServices, current_app.extensions["teleread"])


def read() -> AbstractContextManager[Session]:
    """A read transaction: ``with read() as session``."""
    return services().db.read()


def write() -> AbstractContextManager[Session]:
    """A write transaction; commits at the end, or rolls back whole on any error."""
    return services().db.write()


def write_together(act: Callable[[Session], object]) -> None:
    """See ``Database.write_together``; ``act`` runs outside this request: what it needs of it is asked before."""
    services().db.write_together(act)


def now() -> datetime:
    """The one moment of this request (aware UTC); the same however often it is asked."""
    if "moment" not in g:
        g.moment = services().now()
    return cast(datetime, g.moment)


def today() -> date:
    """The day it is where this system stands: ages and licences go by it."""
    return now().astimezone(services().settings.zone).date()


def adapter(name: str) -> Callable[..., Any]:
    """The callable that the roof handed in under ``name``; KeyError names what it forgot."""
    return services().adapters[name]


def actor() -> Actor:
    """The person behind this request; only in endpoints declared with route_needs."""
    return cast(Actor, g.actor)


def actor_or_none() -> Actor | None:
    return cast("Actor | None", g.get("actor"))


def login_or_none() -> FoundSession | None:
    """The valid login behind this request, cookie or bearer."""
    return cast("FoundSession | None", g.get("login"))


def language() -> str:
    """``zh`` or ``en``: the person's choice, else this browser's; for a program what it asks for; else the setting.

    A page does not follow Accept-Language: Chinese is the first language of every screen, and many
    township browsers were installed in English by somebody else.
    """
    person = actor_or_none()
    if person is not None and person.language and "language" not in g:
        return language_of(person.language)
    if not has_request_context():
        return language_of(services().settings.language)
    if "language" in g:  # chosen for this one page
        return cast(str, g.language)
    if request.cookies.get(LANGUAGE_COOKIE) in LANGUAGES:
        return request.cookies[LANGUAGE_COOKIE]
    is_page = not request.path.startswith("/api/")
    for tag in () if is_page else request.accept_languages.values():
        if language_of(tag) == "en" or tag.lower().startswith("zh"):
            return language_of(tag)
    return language_of(services().settings.language)


def t(key: str, **values: object) -> str:
    """The sentence for ``key`` in the request's language."""
    return translate(key, language(), **values)


def source() -> str:
    """The address the request came from (the proxy's word, where one is configured)."""
    return request.remote_addr or ""
