"""Prepares a client's JSON schema for llguidance: every text that it lets through is valid.

llguidance accepts some schemas that it does not follow: it rounds numbers, lets additional keys
repeat, and begins texts that can never end. Such schemas are changed here into stricter ones that
it follows, or refused with the keyword at fault. For example, ``{"type": "integer", "minimum":
0.5}`` becomes ``{"type": "integer", "minimum": 1}``, and ``uniqueItems`` is refused.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic_core import from_json

from deployments.engine.grammar.schema_closing import close_objects
from deployments.engine.grammar.schema_ending import FiniteSchemas
from deployments.engine.grammar.schema_numbers import UnsupportedSchema, decimal
from deployments.engine.grammar.schema_overlap import SchemaOverlap, type_of
from deployments.engine.grammar.schema_rules import apply_rules, types
from deployments.engine.grammar.schema_walk import Schema, SchemaDocument, SchemaPlace, parts

KNOWN_DRAFTS = ("http://json-schema.org/", "https://json-schema.org/")

COMBINING = ("$ref", "allOf", "anyOf", "oneOf", "patternProperties")
"""Keywords by which one value must be valid under two schemas."""


@dataclass(frozen=True, slots=True)
class PreparedSchema:
    """A schema for llguidance.

    ``one_of_is_any_of`` says that no value is valid under two alternatives of the same ``oneOf``,
    so that llguidance may treat ``oneOf`` as ``anyOf``, which it supports.
    """

    schema: Schema
    one_of_is_any_of: bool


def prepare_schema(source: str) -> PreparedSchema:
    """Parse ``source`` (JSON) and prepare it. Raises :class:`UnsupportedSchema`."""
    try:
        return _prepare(source)
    except UnsupportedSchema:
        raise
    except (ArithmeticError, TypeError, ValueError):  # a keyword has a value of a wrong type
        raise UnsupportedSchema("it is not a valid JSON schema") from None


def _prepare(source: str) -> PreparedSchema:
    try:
        from_json(source, allow_inf_nan=False)  # bounds nesting, and gives the position of an error
        root = json.loads(source, parse_float=decimal)
    except ValueError as error:
        raise UnsupportedSchema(f"it is no JSON: {error}") from None
    if not isinstance(root, dict):
        raise UnsupportedSchema("a schema must be an object")
    given = root.get("$schema")
    if not (isinstance(given, str) and given.startswith(KNOWN_DRAFTS)):
        root.pop("$schema", None)
    document = SchemaDocument(root)
    places = _reachable(document)
    close_objects(document, places)
    overlap = SchemaOverlap(document)
    exclusive = all(overlap.all_exclusive(branches) for branches in _one_of(places))
    for place in places:
        try:
            apply_rules(place.schema)
        except UnsupportedSchema as error:
            raise UnsupportedSchema(f"{place.shown}: {error}") from None
    _check_combinations(places)
    FiniteSchemas(document, places).exclude_infinite()
    return PreparedSchema(root, exclusive)


def dump_schema(schema: Schema) -> str:
    """``schema`` as JSON.

    The rules leave no ``Decimal`` in a schema that can be reached; elsewhere it is written as 0.
    """
    return json.dumps(schema, ensure_ascii=False, default=_unreachable_number)


def _unreachable_number(number: Decimal) -> int:
    return 0


def _reachable(document: SchemaDocument) -> list[SchemaPlace]:
    """Every schema that is reachable from the root by keywords or ``$ref``, the root first."""
    found: dict[int, SchemaPlace] = {}
    waiting = [document.root]
    while waiting:
        place = waiting.pop()
        if id(place.schema) in found:
            continue
        found[id(place.schema)] = place
        waiting += parts(place)
        if "$ref" in place.schema:
            target = document.target(place)
            if target is not None:
                waiting.append(target)
    return list(found.values())


def _one_of(places: list[SchemaPlace]) -> list[list[SchemaPlace]]:
    """The alternatives of each ``oneOf``; ``true`` and ``false`` count as schemas of any value."""
    found = []
    for place in places:
        given = place.schema.get("oneOf")
        if isinstance(given, list):
            inside = {id(part.schema): part for part in parts(place)}
            anything = SchemaPlace({}, place.at, place.resource)
            found.append([inside.get(id(each), anything) for each in given])
    return found


def _check_combinations(places: list[SchemaPlace]) -> None:
    """Refuse values that llguidance handles in a single schema, but not in an intersection of two.

    These are constants of more than 64 bits beside ``integer``, such as ``{"allOf": [{"const":
    10**30}, {"type": "integer"}]}``, and several values of ``multipleOf`` with a large multiple.
    """
    wide = [place for place in places if any(map(_is_wide, _constants(place.schema)))]
    for place in wide:
        _drop_type(place.schema)
    if any(keyword in place.schema for place in places for keyword in COMBINING):
        if wide and any(
            "integer" in types(each.schema) for each in places if "type" in each.schema
        ):
            raise UnsupportedSchema(
                f"{wide[0].shown}: an integer of more than 64 bits is not supported"
            )
        factors = {place.schema["multipleOf"] for place in places if "multipleOf" in place.schema}
        if len(factors) > 1 and _common_multiple(factors) >= 2**32:
            raise UnsupportedSchema(
                "it is too complex: the values of multipleOf are too large together"
            )


def _drop_type(schema: Schema) -> None:
    """Keep only the constants that are of the schema's ``type``, which can then be dropped."""
    allowed = types(schema)
    matching = [value for value in _constants(schema) if _is_of(value, allowed)]
    schema.pop("type", None)
    schema.pop("const", None)
    schema["enum"] = matching


def _is_of(value: Any, allowed: frozenset[str]) -> bool:
    whole = not isinstance(value, float) or value.is_integer()
    return type_of(value) in allowed or (
        type_of(value) == "number" and whole and "integer" in allowed
    )


def _constants(schema: Schema) -> list[Any]:
    """The values of ``const`` and ``enum``."""
    values = schema.get("enum")
    listed = values if isinstance(values, list) else None
    if "const" not in schema:
        return listed or []
    given = schema["const"]
    return [given] if listed is None or given in listed else []


def _is_wide(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) >= 2**63


def _common_multiple(factors: set[int | float]) -> int:
    """At least the number that llguidance computes in 32 bits when it combines ``multipleOf``."""
    exact = [Decimal(str(factor)) for factor in factors]
    digits = max(max(0, -int(factor.as_tuple().exponent)) for factor in exact)
    whole = [int(factor.scaleb(digits)) for factor in exact]
    return math.lcm(*whole) * max(whole)
