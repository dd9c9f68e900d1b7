"""What one schema demands, put so that llguidance keeps all of it, or refused.

Each rule takes a schema whose place is known and changes it in place. What a rule refuses is named
by the JSON pointer to the schema.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from deployments.engine.grammar.schema_numbers import Range, Unkeepable, constant, multiple
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
"""Those that llguidance holds texts to. Others are annotations, as JSON Schema has it."""

_YEAR = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DAY = f"{_YEAR}-(0[13-9]|1[0-2]|02-([01]|2[0-8]))"
_TIME = "[0-9]{2}:[0-9]{2}:[0-5]"
REAL = {"date": f"^{_DAY}", "time": f"^{_TIME}", "date-time": f"^{_DAY}[-0-9]*[Tt]{_TIME}"}
"""Without what few calendars and parsers know: the 29th of February, year 0 and second 60."""

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

OF_TYPE = {
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
"""Keywords that say nothing about values of another type."""

ANYTHING: tuple[Any, ...] = (True, {})

ASKS_NOTHING: dict[str, Callable[[Schema], bool]] = {
    "contains": lambda schema: schema.get("minContains") == 0 and "maxContains" not in schema,
    "dependencies": lambda schema: schema["dependencies"] == {},
    "dependentRequired": lambda schema: schema["dependentRequired"] == {},
    "dependentSchemas": lambda schema: schema["dependentSchemas"] == {},
    "else": lambda schema: "if" not in schema,
    "if": lambda schema: "then" not in schema and "else" not in schema,
    "maxContains": lambda schema: "contains" not in schema,
    "minContains": lambda schema: "contains" not in schema,
    "not": lambda schema: schema["not"] is False,
    "propertyNames": lambda schema: schema["propertyNames"] in (*ANYTHING, {"type": "string"}),
    "then": lambda schema: "if" not in schema,
    "unevaluatedItems": lambda schema: "items" in schema or schema["unevaluatedItems"] in ANYTHING,
    "unevaluatedProperties": lambda schema: (
        "additionalProperties" in schema or schema["unevaluatedProperties"] in ANYTHING
    ),
    "uniqueItems": lambda schema: schema["uniqueItems"] is False or _up_to_one_item(schema),
}
"""Keywords that llguidance does not know, and when they can be left out."""

IN_PLACE = ("$ref", "allOf", "anyOf", "oneOf")
COUNTS = ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties")


def hold(schema: Schema) -> None:
    """Apply every rule to one schema."""
    _lists(schema)
    _counts(schema)
    _close(schema)
    _leave_out(schema)
    _format(schema)
    _constants(schema)
    _numbers(schema)
    _least_properties(schema)


def types(schema: Schema) -> frozenset[str]:
    """The types that its ``type`` allows."""
    given = schema.get("type")
    everything = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
    if given is None:
        return everything
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Unkeepable("type must be a text or a list of texts")
    unknown = next((name for name in names if name not in everything), None)
    if unknown is not None:
        raise Unkeepable(f"there is no type {unknown[:50]!r}")
    return frozenset(names)


def _lists(schema: Schema) -> None:
    for keyword in ("allOf", "anyOf", "enum", "oneOf", "prefixItems", "required"):
        if not isinstance(schema.get(keyword, []), list):
            raise Unkeepable(f"{keyword} must be a list")


def _counts(schema: Schema) -> None:
    for keyword in COUNTS:
        value = schema.get(keyword)
        if value is None or isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            continue
        if value < 0 or value >= 2**31 or value != int(value):
            raise Unkeepable(f"{keyword} must be a whole number from 0 to {2**31 - 1}")
        schema[keyword] = int(value)


def _close(schema: Schema) -> None:
    """``unevaluatedProperties`` is ``additionalProperties`` where nothing else has properties."""
    whole = not any(keyword in schema for keyword in (*IN_PLACE, "if", "dependentSchemas"))
    for keyword, same in (
        ("unevaluatedProperties", "additionalProperties"),
        ("unevaluatedItems", "items"),
    ):
        if whole and schema.get(keyword) is False and same not in schema:
            del schema[keyword]
            schema[same] = False


def _leave_out(schema: Schema) -> None:
    allowed = types(schema)
    for kind, keywords in OF_TYPE.items():
        if kind not in allowed:
            for keyword in keywords:
                schema.pop(keyword, None)
    idle = [
        key for key, asks_nothing in ASKS_NOTHING.items() if key in schema and asks_nothing(schema)
    ]
    for keyword in idle:
        del schema[keyword]
    left = next((key for key in ASKS_NOTHING if key in schema), None)
    if left is not None:
        raise Unkeepable(f"the keyword {left} is not supported")
    for keyword in ("$dynamicRef", "$recursiveRef"):
        if keyword in schema:
            raise Unkeepable(f"the keyword {keyword} is not supported")


def _up_to_one_item(schema: Schema) -> bool:
    most = schema.get("maxItems")
    return isinstance(most, int) and most <= 1


def _format(schema: Schema) -> None:
    form = schema.get("format")
    if not (isinstance(form, str) and form in FORMATS):
        schema.pop("format", None)
    elif form in REAL:
        others = schema.get("allOf")
        schema["allOf"] = [*(others if isinstance(others, list) else ()), {"pattern": REAL[form]}]


def _constants(schema: Schema) -> None:
    if "const" in schema:
        schema["const"] = _kept(schema["const"])
    values = schema.get("enum")
    if isinstance(values, list):
        schema["enum"] = [_kept(value) for value in values]


def _kept(value: Any) -> Any:
    """A constant with its numbers as they can be kept."""
    if isinstance(value, dict):
        return {_text(key): _kept(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_kept(each) for each in value]
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return constant(value)
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    """Refuses control characters that no escape but ``\\u`` can write: see the style of JSON."""
    if any(character < " " and character not in "\b\t\n\f\r" for character in value):
        raise Unkeepable("a constant has a control character, which cannot be written")
    return value


def _numbers(schema: Schema) -> None:
    allowed = types(schema) & {"integer", "number"}
    given = {keyword: schema.pop(keyword) for keyword in BOUNDS if keyword in schema}
    factor = schema.pop("multipleOf", None)
    if not allowed:
        return
    if given:
        bounds = _range(given)
        schema |= bounds.of_integers() if allowed == {"integer"} else bounds.of_numbers()
    if factor is not None:
        if isinstance(factor, bool) or not isinstance(factor, (int, Decimal)):
            raise Unkeepable("multipleOf must be a number")
        schema["multipleOf"] = multiple(factor)


def _range(given: Schema) -> Range:
    low, above = _stricter(given.get("minimum"), given.get("exclusiveMinimum"), "Minimum", 1)
    high, below = _stricter(given.get("maximum"), given.get("exclusiveMaximum"), "Maximum", -1)
    return Range(low, high, above, below)


def _stricter(bound: Any, exclusive: Any, name: str, sign: int) -> tuple[Decimal | None, bool]:
    """The bound that counts, and whether it is excluded: in draft 4 by a word beside it."""
    for value in (bound, exclusive):
        number = value is None or isinstance(value, (int, Decimal))
        if not number or (value is bound and isinstance(value, bool)):
            raise Unkeepable(f"{name.lower()} must be a number")
    if isinstance(exclusive, bool):
        return (None, False) if bound is None else (Decimal(bound), exclusive)
    if exclusive is None or bound is None:
        given = exclusive if bound is None else bound
        return (None, False) if given is None else (Decimal(given), bound is None)
    excluded = exclusive * sign >= bound * sign
    return (Decimal(exclusive), True) if excluded else (Decimal(bound), False)


def _least_properties(schema: Schema) -> None:
    """Free keys may repeat each other, and then count once."""
    least = schema.get("minProperties")
    if not isinstance(least, int):
        return
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    free = least - len({name for name in names if isinstance(name, str)})
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    if free <= 0:
        del schema["minProperties"]
    elif free > 1 and not closed:
        raise Unkeepable(
            "minProperties can ask for one property more than are required, and for no more: "
            "free keys may repeat"
        )
