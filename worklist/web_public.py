"""What needs no login: the health of the machine, and the check of a printed report. [web]"""

from typing import Any

from flask import Blueprint, g, render_template, request

from worklist.base.i18n import LANGUAGES
from worklist.web import adapter, language, now, route_public, services, source

public = Blueprint("public", __name__)


@public.get("/healthz")
@route_public(summary="200 when database, storage and listener answer", answers={200: "well", 503: "what is not"})
def healthz() -> tuple[dict[str, Any], int]:
    failing = adapter("failing_parts")()
    return {"status": "ok" if not failing else "failing", "failing": failing}, 503 if failing else 200


@public.get("/verify/<code>")
@route_public(
    summary="Check of a printed report by its code", query=["language"],
    answers={200: "found", 404: "unknown", 429: "too many"},
)  # fmt: skip
def verify_page(code: str) -> tuple[str, int]:
    """``language`` counts for this page only: whoever scans a report is nobody's account."""
    if request.args.get("language") in LANGUAGES:
        g.language = request.args["language"]
    outcome, report = adapter("verify_code")(code, source(), now(), services().settings.zone, language())
    status = {"too_many": 429, "unknown": 404}.get(outcome, 200)
    return render_template("verify.html", outcome=outcome, report=report), status
