"""Walks every route as everybody: nobody passes a door that the route's declaration does not open to them.

``walk(app, logins)`` calls each rule × method without a login and with each given one. Values for path
parameters are made up (``arguments`` gives real ones by name), so behind an open door anything but 401
and 403 may happen; at a closed one only 403 may, and without a login only 401 (API) or the way to
the login page. ``expected`` is the table kept by hand in the tests: a route that is not in it, or a
line of it without a route, is a finding too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from worklist.web import Route, route_table

MADE_UP = {
    "string": "1.2.826.0.1.3680043.8.498.404",
    "path": "no/such/file",
    "int": "987654321",
    "float": "1.5",
    "uuid": "0" * 32,
}
# Walking must not end the walker's own login.
ENDS_THE_LOGIN = frozenset({"/logout", "/api/logout"})
STREAMS = frozenset({"/api/events"})


@dataclass(frozen=True)
class Walker:
    """Someone who walks: name for messages, role, and the token to show."""

    name: str
    role: str
    token: str


def walk(app: Flask, walkers: Iterable[Walker], arguments: Mapping[str, str] | None = None) -> list[str]:
    """What was found wrong, one line each; empty when every door holds."""
    people = list(walkers)
    wrong = []
    for route in route_table(app):
        if route.rule in STREAMS:
            continue
        for method in route.methods:
            path = path_for(app, route, arguments or {})
            wrong += _as_nobody(app, route, method, path)
            for person in people:
                wrong += _as_person(app, route, method, path, person)
    return wrong


def undeclared(app: Flask, expected: Mapping[str, object]) -> list[str]:
    """Differences between the routes that exist and the hand-kept table ``{"GET /api/orders": ...}``."""
    exist = {f"{method} {route.rule}" for route in route_table(app) for method in route.methods}
    return [f"not in the table: {name}" for name in sorted(exist - set(expected))] + [
        f"in the table but no route: {name}" for name in sorted(set(expected) - exist)
    ]


def path_for(app: Flask, route: Route, arguments: Mapping[str, str]) -> str:
    """The rule with its parameters filled in."""
    rule = next(
        rule for rule in app.url_map.iter_rules() if rule.endpoint == route.endpoint and rule.rule == route.rule
    )
    path = route.rule
    for name in rule.arguments:
        for converter, value in MADE_UP.items():
            path = path.replace(f"<{converter}:{name}>", arguments.get(name, value))
        path = path.replace(f"<{name}>", arguments.get(name, MADE_UP["string"]))
    assert "<" not in path, f"no value for a parameter of {route.rule}"
    return path


def call(client: FlaskClient, method: str, path: str, token: str | None = None) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {} if method == "GET" else {"json": {}}
    return client.open(path, method=method, headers=headers, buffered=True, **body)  # type: ignore[arg-type]


def _as_nobody(app: Flask, route: Route, method: str, path: str) -> list[str]:
    answer = call(app.test_client(), method, path)
    is_refused = answer.status_code == 401 or answer.headers.get("Location", "").startswith("/login")
    if is_refused != (not route.declaration.is_public) and not _is_login_page(route):
        return [f"{method} {route.rule} without login: {answer.status_code}"]
    return []


def _is_login_page(route: Route) -> bool:
    """Its own answers are 401 and redirects to itself."""
    return route.declaration.is_public and "login" in route.endpoint


def _as_person(app: Flask, route: Route, method: str, path: str, person: Walker) -> list[str]:
    allowed = route.declaration.allows(person.role)
    if allowed and route.rule in ENDS_THE_LOGIN:
        return []
    status = call(app.test_client(), method, path, person.token).status_code
    # A service behind an open door may still say 403 for this act on this object; 401 it may not.
    if allowed and not route.declaration.is_public and status == 401:
        return [f"{method} {route.rule} as {person.name}: 401 behind an open door"]
    if status >= 500:
        return [f"{method} {route.rule} as {person.name}: {status}"]
    if not allowed and status != 403:
        return [f"{method} {route.rule} as {person.name} ({person.role}): {status}, must be 403"]
    return []
