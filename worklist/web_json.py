"""JSON bodies read against a small schema; what is wrong is named by its field. [web]

A schema maps names to ``Field`` or to ``(type, required, max_len)``; a nested object is
``Field(dict, nested={...})``, a list is ``Field(list, items=Field(str))``. The same schema is what
``/api/openapi.json`` shows.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from flask import request

from worklist.web_errors import WebError

LARGEST_INTEGER = 2**31 - 2  # what an INTEGER column holds on both databases, one more added
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}


@dataclass(frozen=True)
class Field:
    """One value of a body. ``max_len`` counts characters of text or entries of a list."""

    type: type = str
    required: bool = True
    max_len: int = 256
    choices: Collection[str] | None = None
    nullable: bool = False
    nested: "Schema | None" = None
    items: "Field | None" = None
    min_len: int = 0


Schema = Mapping[str, "Field | tuple[type, bool, int]"]


def read_json(schema: Schema) -> dict[str, Any]:
    """The request's JSON object, checked. Optional fields that were not sent are absent.

    Raises WebError: 415 not_json, 400 invalid_json, 422 field_missing / field_unknown / field_type /
    field_too_long / field_too_short / field_choice / field_character, each with details.field.
    """
    if not request.is_json:
        raise WebError(415, "not_json")
    try:
        body = json.loads(request.get_data(cache=True), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise WebError(400, "invalid_json") from None
    if not isinstance(body, dict):
        raise WebError(400, "invalid_json")
    return _object(body, schema, "")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def field_of(entry: "Field | tuple[type, bool, int]") -> Field:
    """A schema entry, short form spelled out."""
    return entry if isinstance(entry, Field) else Field(entry[0], entry[1], entry[2])


def _object(body: Mapping[str, Any], schema: Schema, prefix: str) -> dict[str, Any]:
    for name in body:
        if name not in schema:
            # What was sent is not echoed whole: it may be anything, of any length.
            raise WebError(422, "field_unknown", field=prefix + str(name)[:64].encode("utf-8", "replace").decode())
    checked: dict[str, Any] = {}
    for name, entry in schema.items():
        field = field_of(entry)
        if name in body:
            checked[name] = _value(body[name], field, prefix + name)
        elif field.required:
            raise WebError(422, "field_missing", field=prefix + name)
    return checked


def _value(value: Any, field: Field, path: str) -> Any:
    if value is None and field.nullable:
        return None
    if field.type is float and type(value) is int:
        value = float(value)
    if type(value) is not field.type or (type(value) is int and abs(value) > LARGEST_INTEGER):
        raise WebError(422, "field_type", field=path, type=_JSON_TYPES[field.type])
    if isinstance(value, str):
        return _text(value, field, path)
    if isinstance(value, list):
        return _list(value, field, path)
    if isinstance(value, dict) and field.nested is not None:
        return _object(value, field.nested, path + ".")
    return value


def _text(value: str, field: Field, path: str) -> str:
    if len(value) > field.max_len:
        raise WebError(422, "field_too_long", field=path, max_len=field.max_len)
    if len(value.strip()) < field.min_len:
        raise WebError(422, "field_too_short", field=path, min_len=field.min_len)
    # NUL and half surrogates are what a database or a PDF cannot keep.
    if "\0" in value or any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise WebError(422, "field_character", field=path)
    if field.choices is not None and value not in field.choices:
        raise WebError(422, "field_choice", field=path, choices=sorted(field.choices))
    return value


def _list(value: list[Any], field: Field, path: str) -> list[Any]:
    if len(value) > field.max_len:
        raise WebError(422, "field_too_long", field=path, max_len=field.max_len)
    if field.items is None:
        return value
    return [_value(entry, field.items, f"{path}[{index}]") for index, entry in enumerate(value)]


def json_schema(schema: Schema) -> dict[str, Any]:
    """The schema as OpenAPI 3.1 (JSON Schema 2020-12) writes it."""
    fields = {name: field_of(entry) for name, entry in schema.items()}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, field in fields.items() if field.required],
        "properties": {name: _field_schema(field) for name, field in fields.items()},
    }


def _field_schema(field: Field) -> dict[str, Any]:
    kind = _JSON_TYPES[field.type]
    described: dict[str, Any] = {"type": [kind, "null"] if field.nullable else kind}
    if field.type is str:
        described |= {"maxLength": field.max_len} | ({"minLength": field.min_len} if field.min_len else {})
    if field.choices is not None:
        described["enum"] = sorted(field.choices)
    if field.type is list:
        described |= {"maxItems": field.max_len, "items": _field_schema(field.items) if field.items else {}}
    if field.type is dict and field.nested is not None:
        described |= json_schema(field.nested)
    return described
