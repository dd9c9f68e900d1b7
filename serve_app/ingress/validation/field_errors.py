"""Turns pydantic's validation errors into one message for each field of the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from serve_app.ingress.errors import MAX_FIELD_ERRORS, MAX_NAME_LENGTH

UNION_BRANCHES = frozenset({"str", "constrained-str", "bytes"})
"""Parts of an error's location that name a branch of a union and no field of the request."""

FORM_LISTS = frozenset({"timestamp_granularities[]"})
"""Fields of forms whose names end as a branch's."""

OTHER_TYPE = frozenset({"literal_error", "missing"})
"""Errors of a field ``type`` that mean that the object is of another type than was tried."""

WORDS = {
    "extra_forbidden": "this field is not known here",
    "missing": "this field is required",
    "none_required": "this cannot be set here; leave it out, or null",
    "string_type": "expected a string",
    "string_unicode": "expected a string of whole Unicode characters",
    "bytes_type": "expected a string",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a whole number with fewer digits",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "list_type": "expected a list",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "union_tag_not_found": "this is none of what is expected here",
    "union_tag_invalid": "this is none of what is expected here",
}
"""Messages without figures, by pydantic's error type."""


def field_errors(items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """A message for each field at fault, from pydantic's errors within a part of the request.

    Of an object with an unexpected ``type`` only that field is named, since its other fields belong
    to its own type.
    """
    items = list(items)
    others = {item["loc"][:-1] for item in items if _is_of_another_type(item)}
    found: dict[str, str] = {}
    for item in items:
        if others and not _is_of_another_type(item) and _is_within(item["loc"], others):
            continue
        found.setdefault(_field_path(item)[:MAX_NAME_LENGTH], _message(item))
        if len(found) == MAX_FIELD_ERRORS:
            break
    return found


def _is_of_another_type(item: Mapping[str, Any]) -> bool:
    return item["type"] in OTHER_TYPE and bool(item["loc"]) and item["loc"][-1] == "type"


def _is_within(place: tuple[str | int, ...], objects: set[tuple[str | int, ...]]) -> bool:
    return any(place[:end] in objects for end in range(len(place)))


def _field_path(item: Mapping[str, Any]) -> str:
    """``("body", "texts", "list[str]", 3)`` becomes ``texts.3``: union branches are not fields.

    Where no branch has the ``type`` of an object, that field is at fault. The first part is the
    part of the request. For a body that is no JSON the next is a position.
    """
    parts = [] if item["type"] == "json_invalid" else [str(part) for part in item["loc"][1:]]
    unknown = [parts.pop()] if item["type"] == "extra_forbidden" else []
    if item["type"] == "union_tag_invalid":
        unknown = ["type"]
    filtered = [part for part in parts if not _is_branch(part)]
    return ".".join([*filtered, *unknown]) or "body"


def _is_branch(part: str) -> bool:
    """Whether a part is a union's branch, as ``list[str]``, and no field."""
    return part in UNION_BRANCHES or (part.endswith("]") and part not in FORM_LISTS)


def _message(item: Mapping[str, Any]) -> str:
    kind = item["type"]
    if kind == "value_error":  # raised by a validator of this service
        return str(item["msg"]).removeprefix("Value error, ")
    if kind in BOUNDS and "ctx" in item:
        return BOUNDS[kind](item["ctx"])
    return WORDS.get(kind, "this value is not taken here")


def _expected_type(ctx: Mapping[str, Any]) -> str:
    """The tags of the branches, which are types with ``[]`` behind them."""
    return f"expected one of {str(ctx['expected_tags']).replace('[]', '')}"


def _items(bound: str, count: int, one: str) -> str:
    return f"expected at {bound} {count} {one}" + ("" if count == 1 else "s")


def _figure(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _expected(ctx: Mapping[str, Any]) -> str:
    """The literals, which pydantic writes as Python does."""
    words = str(ctx["expected"])
    return f"expected {LITERALS.get(words, words)}"


LITERALS = {"True": "true", "False": "false"}
BOUNDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "json_invalid": lambda c: f"the body is not valid JSON ({c['error']})",
    "literal_error": _expected,
    "enum": _expected,
    "union_tag_invalid": _expected_type,
    "greater_than": lambda c: f"expected more than {_figure(c['gt'])}",
    "greater_than_equal": lambda c: f"expected at least {_figure(c['ge'])}",
    "less_than": lambda c: f"expected less than {_figure(c['lt'])}",
    "less_than_equal": lambda c: f"expected at most {_figure(c['le'])}",
    "string_too_short": lambda c: _items("least", c["min_length"], "character"),
    "string_too_long": lambda c: _items("most", c["max_length"], "character"),
    "string_pattern_mismatch": lambda c: f"expected a string that matches {c['pattern']}",
    "too_short": lambda c: _items("least", c["min_length"], "item"),
    "too_long": lambda c: _items("most", c["max_length"], "item"),
}
"""Messages with the expected figures or words, by pydantic's error type."""
