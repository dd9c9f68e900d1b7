"""Rules for the keywords of one schema: rewrites those that llguidance does not follow, or refuses.

Each rule takes one schema (not the schemas inside it) and changes it in place. For example,
``{"uniqueItems": false}`` loses the keyword, ``{"format": "date"}`` gets a pattern that excludes
the 30th of February, and ``{"not": {}}`` is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from deployments.engine.grammar.schema_numbers import (
    NumberRange,
    UnsupportedSchema,
    constant,
    multiple,
)
from deployments.engine.grammar.schema_walk import Schema

FORMATS = frozenset(
    {
        "date",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "time",
        "uri",
        "uuid",
    }
)
"""The formats that llguidance enforces. JSON Schema lets all others be annotations."""

_YEAR = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DAY = f"{_YEAR}-(0[13-9]|1[0-2]|02-([01]|2[0-8]))"
_TIME = "[0-9]{2}:[0-9]{2}:[0-5]"
EXISTING = {"date": f"^{_DAY}", "time": f"^{_TIME}", "date-time": f"^{_DAY}[-0-9]*[Tt]{_TIME}"}
"""Dates and times that every parser accepts: no 29th of February, year 0 or second 60."""

NUMBER_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

KEYWORDS_OF_TYPE = {
    "array": ("contains", "maxContains", "minContains", "unevaluatedItems", "uniqueItems"),
    "object": (
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "maxProperties",
        "minProperties",
        "propertyNames",
        "unevaluatedProperties",
    ),
}
"""Keywords that apply to values of one type only."""

ANY_VALUE: tuple[Any, ...] = (True, {})

NO_EFFECT: dict[str, Callable[[Schema], bool]] = {
    "contains": lambda schema: schema.get("minContains") == 0 and "maxContains" not in schema,
    "dependencies": lambda schema: schema["dependencies"] == {},
    "dependentRequired": lambda schema: schema["dependentRequired"] == {},
    "dependentSchemas": lambda schema: schema["dependentSchemas"] == {},
    "else": lambda schema: "if" not in schema,
    "if": lambda schema: "then" not in schema and "else" not in schema,
    "maxContains": lambda schema: "contains" not in schema,
    "minContains": lambda schema: "contains" not in schema,
    "not": lambda schema: schema["not"] is False,
    "propertyNames": lambda schema: schema["propertyNames"] in (*ANY_VALUE, {"type": "string"}),
    "then": lambda schema: "if" not in schema,
    "unevaluatedItems": lambda schema: "items" in schema or schema["unevaluatedItems"] in ANY_VALUE,
    "unevaluatedProperties": lambda schema: (
        "additionalProperties" in schema or schema["unevaluatedProperties"] in ANY_VALUE
    ),
    "uniqueItems": lambda schema: schema["uniqueItems"] is False or _up_to_one_item(schema),
}
"""Keywords that llguidance does not support, and when they have no effect and can be dropped."""

APPLICATORS = ("$ref", "allOf", "anyOf", "oneOf")
COUNTS = ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties")


def apply_rules(schema: Schema) -> None:
    """Apply every rule to one schema. Raises :class:`UnsupportedSchema`."""
    _lists(schema)
    _counts(schema)
    _close_unevaluated(schema)
    _drop_without_effect(schema)
    _format(schema)
    _constants(schema)
    _numbers(schema)
    _min_properties(schema)


def types(schema: Schema) -> frozenset[str]:
    """The types that the keyword ``type`` allows."""
    given = schema.get("type")
    everything = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
    if given is None:
        return everything
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UnsupportedSchema("type must be a text or a list of texts")
    unknown = next((name for name in names if name not in everything), None)
    if unknown is not None:
        raise UnsupportedSchema(f"there is no type {unknown[:50]!r}")
    return frozenset(names)


def _lists(schema: Schema) -> None:
    """Keywords whose value must be a list, such as ``enum``."""
    for keyword in ("allOf", "anyOf", "enum", "oneOf", "prefixItems", "required"):
        if not isinstance(schema.get(keyword, []), list):
            raise UnsupportedSchema(f"{keyword} must be a list")


def _counts(schema: Schema) -> None:
    """Keywords whose value must be a whole number, such as ``minLength``: 2.0 becomes 2."""
    for keyword in COUNTS:
        value = schema.get(keyword)
        if value is None or isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            continue
        if value < 0 or value >= 2**31 or value != int(value):
            raise UnsupportedSchema(f"{keyword} must be a whole number from 0 to {2**31 - 1}")
        schema[keyword] = int(value)


def _close_unevaluated(schema: Schema) -> None:
    """``unevaluatedProperties: false`` becomes ``additionalProperties: false``, and likewise items.

    They mean the same where no other keyword applies a schema to the same object.
    """
    alone = not any(keyword in schema for keyword in (*APPLICATORS, "if", "dependentSchemas"))
    for keyword, same in (
        ("unevaluatedProperties", "additionalProperties"),
        ("unevaluatedItems", "items"),
    ):
        if alone and schema.get(keyword) is False and same not in schema:
            del schema[keyword]
            schema[same] = False


def _drop_without_effect(schema: Schema) -> None:
    """Drop keywords without an effect; refuse the others that llguidance does not support."""
    allowed = types(schema)
    for kind, keywords in KEYWORDS_OF_TYPE.items():
        if kind not in allowed:
            for keyword in keywords:
                schema.pop(keyword, None)
    without_effect = [
        key for key, no_effect in NO_EFFECT.items() if key in schema and no_effect(schema)
    ]
    for keyword in without_effect:
        del schema[keyword]
    left = next((key for key in NO_EFFECT if key in schema), None)
    if left is not None:
        raise UnsupportedSchema(f"the keyword {left} is not supported")
    for keyword in ("$dynamicRef", "$recursiveRef"):
        if keyword in schema:
            raise UnsupportedSchema(f"the keyword {keyword} is not supported")


def _up_to_one_item(schema: Schema) -> bool:
    max_items = schema.get("maxItems")
    return isinstance(max_items, int) and max_items <= 1


def _format(schema: Schema) -> None:
    """Drop formats that are annotations; exclude dates and times that do not exist."""
    form = schema.get("format")
    if not (isinstance(form, str) and form in FORMATS):
        schema.pop("format", None)
    elif form in EXISTING:
        others = schema.get("allOf")
        schema["allOf"] = [
            *(others if isinstance(others, list) else ()),
            {"pattern": EXISTING[form]},
        ]


def _constants(schema: Schema) -> None:
    """Make the values of ``const`` and ``enum`` such that llguidance writes them exactly."""
    if "const" in schema:
        schema["const"] = _exact(schema["const"])
    values = schema.get("enum")
    if isinstance(values, list):
        schema["enum"] = [_exact(value) for value in values]


def _exact(value: Any) -> Any:
    """A constant with exact numbers, and texts that can be written."""
    if isinstance(value, dict):
        return {_text(key): _exact(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_exact(each) for each in value]
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return constant(value)
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    """Refuse control characters that only ``\\u`` could write: ``_JSON_STYLE`` excludes it."""
    if any(character < " " and character not in "\b\t\n\f\r" for character in value):
        raise UnsupportedSchema("a constant has a control character, which cannot be written")
    return value


def _numbers(schema: Schema) -> None:
    """Make bounds and ``multipleOf`` exact; drop them where no number is allowed."""
    allowed = types(schema) & {"integer", "number"}
    given = {keyword: schema.pop(keyword) for keyword in NUMBER_BOUNDS if keyword in schema}
    factor = schema.pop("multipleOf", None)
    if not allowed:
        return
    if given:
        bounds = _range(given)
        schema |= bounds.of_integers() if allowed == {"integer"} else bounds.of_numbers()
    if factor is not None:
        if isinstance(factor, bool) or not isinstance(factor, (int, Decimal)):
            raise UnsupportedSchema("multipleOf must be a number")
        schema["multipleOf"] = multiple(factor)


def _range(given: Schema) -> NumberRange:
    low, above = _stricter(given.get("minimum"), given.get("exclusiveMinimum"), "Minimum", 1)
    high, below = _stricter(given.get("maximum"), given.get("exclusiveMaximum"), "Maximum", -1)
    return NumberRange(low, high, above, below)


def _stricter(bound: Any, exclusive: Any, name: str, sign: int) -> tuple[Decimal | None, bool]:
    """The stricter bound, and whether it is exclusive. In draft 4 ``exclusive`` is a bool."""
    for value in (bound, exclusive):
        number = value is None or isinstance(value, (int, Decimal))
        if not number or (value is bound and isinstance(value, bool)):
            raise UnsupportedSchema(f"{name.lower()} must be a number")
    if isinstance(exclusive, bool):
        return (None, False) if bound is None else (Decimal(bound), exclusive)
    if exclusive is None or bound is None:
        given = exclusive if bound is None else bound
        return (None, False) if given is None else (Decimal(given), bound is None)
    excluded = exclusive * sign >= bound * sign
    return (Decimal(exclusive), True) if excluded else (Decimal(bound), False)


def _min_properties(schema: Schema) -> None:
    """Drop ``minProperties`` where required properties reach it, or refuse it.

    llguidance may repeat an additional key, which then counts as one property.
    """
    wanted = schema.get("minProperties")
    if not isinstance(wanted, int):
        return
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    additional = wanted - len({name for name in names if isinstance(name, str)})
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    if additional <= 0:
        del schema["minProperties"]
    elif additional > 1 and not closed:
        raise UnsupportedSchema(
            "minProperties can ask for one property more than are required, and for no more: "
            "free keys may repeat"
        )
