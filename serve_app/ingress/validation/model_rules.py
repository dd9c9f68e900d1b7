"""Rules of all request bodies: validation stops early, null means that a field is left out, and
3.0 is a whole number.

pydantic by itself makes an error for every bad item and every unknown field: 1.5 million of them
stall the event loop for seconds and take gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from serve_app.ingress.errors import MAX_FIELD_ERRORS

CONTAINERS = frozenset({"list", "tuple", "set", "frozenset", "dict"})
NO_SCHEMAS = frozenset({"default", "metadata"})
"""Keys of a core schema whose values are no schemas."""

OUTER = frozenset({"title", "description", "default", "examples"})
"""Keywords of a JSON schema that describe the field and not its value."""


def stop_at_first(part: Any) -> None:
    """Change a core schema of pydantic so that a list or an object reports one bad item only."""
    if isinstance(part, list | tuple):
        for each in part:
            stop_at_first(each)
    elif isinstance(part, dict):
        is_schema = isinstance(part.get("type"), str)  # else a table of fields or branches by name
        if is_schema and part["type"] in CONTAINERS:
            part["fail_fast"] = True
        for key, each in part.items():
            if not (is_schema and key in NO_SCHEMAS):
                stop_at_first(each)


def take_whole_floats(part: Any) -> None:
    """Change a core schema of pydantic so that whole numbers may be written with ``.0``.

    JSON Schema, so the OpenAPI document too, knows no difference between 3 and 3.0, and encoders
    of languages with one type of number write either. A schema that was changed already stays as
    it is: pydantic keeps schemas, and hands them to whatever is built of them later.
    """
    if isinstance(part, list | tuple):
        for each in part:
            take_whole_floats(each)
    elif isinstance(part, dict):
        is_schema = isinstance(part.get("type"), str)
        if is_schema and _takes_whole_floats(part):
            return
        if is_schema and _is_whole(part):
            inner = dict(part)
            part.clear()
            part.update(core_schema.no_info_before_validator_function(_whole, inner))
            return
        for key, each in part.items():
            if not (is_schema and key in NO_SCHEMAS):
                take_whole_floats(each)


def _is_whole(schema: dict[str, Any]) -> bool:
    if schema["type"] == "literal":
        return all(type(each) is int for each in schema["expected"])
    return bool(schema["type"] == "int")


def _takes_whole_floats(schema: dict[str, Any]) -> bool:
    return schema["type"] == "function-before" and schema["function"]["function"] is _whole


def _whole(given: Any) -> Any:
    return int(given) if type(given) is float and given.is_integer() else given


def names_of(fields: Mapping[str, FieldInfo], *, required: bool = True) -> frozenset[str]:
    """The names of fields as a request spells them, with or without those that are required."""
    return frozenset(
        field.alias or name for name, field in fields.items() if required or not field.is_required()
    )


def as_left_out(
    given: Mapping[str, Any], known: frozenset[str], optional: frozenset[str]
) -> dict[str, Any]:
    """``given`` without optional fields that are null, and with only the first few unknown ones."""
    unknown = islice((name for name in given if name not in known), MAX_FIELD_ERRORS)
    filtered = {
        name: value
        for name, value in given.items()
        if name in known and not (value is None and name in optional)
    }
    return filtered | dict.fromkeys(unknown)


def nullable(schema: dict[str, Any], optional: Iterable[str]) -> None:
    """Change a model's JSON schema: ``null`` is a value of each of its ``optional`` fields."""
    properties: dict[str, Any] = schema.get("properties", {})
    for name in properties.keys() & set(optional):
        field = properties[name]
        if not _takes_null(field):
            value = {key: each for key, each in field.items() if key not in OUTER}
            about = {key: each for key, each in field.items() if key in OUTER}
            properties[name] = {"anyOf": [value, {"type": "null"}], **about}


def _takes_null(field: Mapping[str, Any]) -> bool:
    branches = field.get("anyOf") or field.get("oneOf") or [field]
    return any(each.get("type", "null") == "null" and "$ref" not in each for each in branches)
