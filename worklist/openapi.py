"""The description of the API, drawn from what the routes declare: it cannot say anything else. [web]"""

import re
from typing import Any

from flask import Blueprint, Flask, current_app, jsonify
from werkzeug.wrappers import Response as AnyResponse

from worklist.web_json import json_schema
from worklist.web_routes import ANY_PARAMETER, UPLOAD_LIMIT_BYTES, Route, route_public, route_table

description = Blueprint("description", __name__)
DESCRIBED_PREFIXES = ("/api/", "/dicom-web", "/healthz", "/metrics")
_PARAMETER = re.compile(r"<(?:(?P<converter>[^:<>]+):)?(?P<name>[^<>]+)>")
_ERROR = {"$ref": "#/components/schemas/Error"}
_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "details": {"type": "object"}},
        }
    },
}


@description.get("/api/openapi.json")
@route_public(summary="This description")
def openapi_json() -> AnyResponse:
    return jsonify(openapi(current_app))


def path_of(rule: str) -> str:
    """``/api/studies/<path:uid>`` as OpenAPI writes it: ``/api/studies/{uid}``."""
    return _PARAMETER.sub(lambda match: "{" + match["name"] + "}", rule)


def openapi(app: Flask) -> dict[str, Any]:
    """OpenAPI 3.1 of every route below DESCRIBED_PREFIXES."""
    paths: dict[str, Any] = {}
    for route in route_table(app):
        if route.rule.startswith(DESCRIBED_PREFIXES):
            for method in route.methods:
                paths.setdefault(path_of(route.rule), {})[method.lower()] = _operation(route, method)
    return {
        "openapi": "3.1.0",
        "info": {"title": "teleread", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR_SCHEMA},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "below /dicom-web"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "teleread_session"},
            },
        },
    }


def _operation(route: Route, method: str) -> dict[str, Any]:
    declaration = route.declaration
    operation: dict[str, Any] = {
        "operationId": f"{route.endpoint}.{method.lower()}",
        "summary": declaration.summary,
        "parameters": _parameters(route),
        "responses": _responses(route),
        "security": [] if declaration.is_public else _security(route),
        "x-needs": [str(act) for act in declaration.needs],
    }
    if declaration.body is not None and method != "GET":
        content = {"application/json": {"schema": json_schema(declaration.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    elif declaration.limit_bytes >= UPLOAD_LIMIT_BYTES and method != "GET":
        operation["requestBody"] = {"required": True, "content": {"*/*": {}}}
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    basic: list[dict[str, list[str]]] = [{"basic": []}] if route.rule.startswith("/dicom-web") else []
    return [{"token": []}, {"cookie": []}, *basic]


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {
            "name": match["name"],
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if match["converter"] == "int" else "string"},
        }
        for match in _PARAMETER.finditer(route.rule)
    ]
    in_query = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in sorted(route.declaration.query - {ANY_PARAMETER})
    ]
    return in_path + in_query


def _responses(route: Route) -> dict[str, Any]:
    declaration = route.declaration
    told = {400: "unknown parameter"} | ({} if declaration.is_public else {401: "not logged in", 403: "not this role"})
    told |= dict(declaration.answers)
    return {
        str(status): {"description": words}
        | ({"content": {"application/json": {"schema": _ERROR}}} if status >= 400 else {})
        for status, words in sorted(told.items())
    }
