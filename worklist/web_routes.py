"""What every endpoint declares: who may call it, what it takes, what it answers. [web]

A declaration is written with ``route_needs`` or ``route_public`` right under the route decorator. An
application with an undeclared route does not start; the same table feeds the access check, the
parameter check, ``/api/openapi.json`` and the test that walks every route.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask

from worklist.access import ACTS_BY_ROLE, Act

JSON_LIMIT_BYTES = 1_000_000
UPLOAD_LIMIT_BYTES = 200_000_000

ANY_PARAMETER = "*"  # in ``query``: the view itself judges names and repetitions

_MARK = "_teleread_declaration"
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """One endpoint's promise. ``needs`` empty: public; else holding any one of these acts is enough."""

    needs: tuple[Act, ...] = ()
    summary: str = ""
    query: frozenset[str] = frozenset()  # allowed query parameters; any other is 400 (unless ANY_PARAMETER)
    body: Mapping[str, Any] | None = None  # schema as for read_json
    answers: Mapping[int, str] = field(default_factory=lambda: {200: "OK"})
    limit_bytes: int = JSON_LIMIT_BYTES
    csrf: bool = True  # False: only same-origin is asked (login has no session yet)
    touches: bool = True  # False: a background call that does not keep a login from idling out

    @property
    def is_public(self) -> bool:
        return not self.needs

    def allows(self, role: str) -> bool:
        """Whether ``role`` gets past the door; what it sees behind it is the service's rule."""
        return self.is_public or any(act in ACTS_BY_ROLE.get(role, frozenset()) for act in self.needs)


@dataclass(frozen=True)
class Route:
    """One line of the route table: a rule such as ``/api/studies/<uid>/display`` and its methods."""

    rule: str
    methods: tuple[str, ...]
    endpoint: str
    declaration: Declaration


def route_needs(
    *needs: Act,
    summary: str = "",
    query: Collection[str] = (),
    body: Mapping[str, Any] | None = None,
    answers: Mapping[int, str] | None = None,
    limit_bytes: int = JSON_LIMIT_BYTES,
    csrf: bool = True,
    touches: bool = True,
) -> Callable[[View], View]:
    """Declare an endpoint for actors who may do any one of ``needs``; written under the route decorator."""
    if not needs:
        raise TypeError("route_needs() without an act: use route_public()")
    declaration = Declaration(
        tuple(needs), summary, frozenset(query), body, answers or {200: "OK"}, limit_bytes, csrf, touches
    )
    return _marker(declaration)


def route_public(
    *,
    summary: str = "",
    query: Collection[str] = (),
    body: Mapping[str, Any] | None = None,
    answers: Mapping[int, str] | None = None,
    limit_bytes: int = JSON_LIMIT_BYTES,
) -> Callable[[View], View]:
    """Declare an endpoint that anyone may call; unsafe methods still come from our own origin only."""
    return _marker(Declaration((), summary, frozenset(query), body, answers or {200: "OK"}, limit_bytes, csrf=False))


def _marker(declaration: Declaration) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _MARK, declaration)
        return view

    return mark


def declaration_of(app: Flask, endpoint: str | None) -> Declaration | None:
    """What the endpoint declared, or None."""
    found: Declaration | None = getattr(app.view_functions.get(endpoint or ""), _MARK, None)
    return found


def route_table(app: Flask) -> list[Route]:
    """Every rule with its declaration, ordered by rule. Raises RuntimeError naming undeclared routes."""
    routes, undeclared = [], []
    for rule in app.url_map.iter_rules():
        declaration = declaration_of(app, rule.endpoint)
        if declaration is None:
            undeclared.append(f"{rule.rule} ({rule.endpoint})")
            continue
        methods = tuple(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        routes.append(Route(rule.rule, methods, rule.endpoint, declaration))
    if undeclared:
        raise RuntimeError("routes without route_needs/route_public: " + ", ".join(sorted(undeclared)))
    return sorted(routes, key=lambda route: (route.rule, route.methods))
