"""A client's JSON schema as llguidance is given it: every text that fits it fits the client's.

llguidance takes some schemas that it then cannot keep to: it rounds numbers, lets free keys repeat,
and begins texts that can never end. Those are changed here into what it keeps, or refused by name.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic_core import from_json

from deployments.engine.grammar.schema_ending import Endings
from deployments.engine.grammar.schema_numbers import Unkeepable, decimal
from deployments.engine.grammar.schema_overlap import Overlap, type_of
from deployments.engine.grammar.schema_rules import hold, types
from deployments.engine.grammar.schema_walk import Schema, SchemaDocument, SchemaPlace, parts

KNOWN_DRAFTS = ("http://json-schema.org/", "https://json-schema.org/")

MEETING = ("$ref", "allOf", "anyOf", "oneOf", "patternProperties")
"""Where one value may be held to two schemas."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A schema for llguidance. ``one_of_is_any_of``: no two of any ``oneOf`` can both match."""

    schema: Schema
    one_of_is_any_of: bool


def prepared(source: str) -> Prepared:
    """The schema that ``source`` is. Raises :class:`Unkeepable`."""
    try:
        return _prepared(source)
    except Unkeepable:
        raise
    except (ArithmeticError, TypeError, ValueError):  # of values where the rules expect others
        raise Unkeepable("it is not a valid JSON schema") from None


def _prepared(source: str) -> Prepared:
    try:
        from_json(source, allow_inf_nan=False)  # bounds nesting, and says where it is wrong
        root = json.loads(source, parse_float=decimal)
    except ValueError as error:
        raise Unkeepable(f"it is no JSON: {error}") from None
    if not isinstance(root, dict):
        raise Unkeepable("a schema must be an object")
    given = root.get("$schema")
    if not (isinstance(given, str) and given.startswith(KNOWN_DRAFTS)):
        root.pop("$schema", None)
    document = SchemaDocument(root)
    places = _reached(document)
    overlap = Overlap(document)
    apart = all(overlap.all_apart(branches) for branches in _one_of(places))
    for place in places:
        try:
            hold(place.schema)
        except Unkeepable as error:
            raise Unkeepable(f"{place.shown}: {error}") from None
    _check_together(places)
    Endings(document, places).cut()
    return Prepared(root, apart)


def dumped(schema: Schema) -> str:
    """``schema`` as JSON; numbers of what nothing refers to may be any."""
    return json.dumps(schema, ensure_ascii=False, default=_unused)


def _unused(number: Decimal) -> int:
    return 0


def _reached(document: SchemaDocument) -> list[SchemaPlace]:
    """Every schema that an instance may be held to, the root first."""
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
    """The alternatives of each ``oneOf``; those that are no objects count as any value."""
    found = []
    for place in places:
        given = place.schema.get("oneOf")
        if isinstance(given, list):
            inside = {id(part.schema): part for part in parts(place)}
            anything = SchemaPlace({}, place.at, place.resource)
            found.append([inside.get(id(each), anything) for each in given])
    return found


def _check_together(places: list[SchemaPlace]) -> None:
    """What is kept by itself, and by llguidance not where two schemas meet."""
    wide = [place for place in places if any(map(_wide, _constants(place.schema)))]
    for place in wide:
        _settle_type(place.schema)
    if any(keyword in place.schema for place in places for keyword in MEETING):
        if wide and any(
            "integer" in types(each.schema) for each in places if "type" in each.schema
        ):
            raise Unkeepable(f"{wide[0].shown}: an integer of more than 64 bits is not supported")
        factors = {place.schema["multipleOf"] for place in places if "multipleOf" in place.schema}
        if len(factors) > 1 and _combined(factors) >= 2**32:
            raise Unkeepable("it is too complex: the values of multipleOf are too large together")


def _settle_type(schema: Schema) -> None:
    """Leave the constants that are of its ``type``, which then says nothing more."""
    allowed = types(schema)
    kept = [value for value in _constants(schema) if _fits(value, allowed)]
    schema.pop("type", None)
    schema.pop("const", None)
    schema["enum"] = kept


def _fits(value: Any, allowed: frozenset[str]) -> bool:
    whole = not isinstance(value, float) or value.is_integer()
    return type_of(value) in allowed or (
        type_of(value) == "number" and whole and "integer" in allowed
    )


def _constants(schema: Schema) -> list[Any]:
    """The values that it allows, where it lists them."""
    values = schema.get("enum")
    listed = values if isinstance(values, list) else None
    if "const" not in schema:
        return listed or []
    given = schema["const"]
    return [given] if listed is None or given in listed else []


def _wide(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) >= 2**63


def _combined(factors: set[int | float]) -> int:
    """At least what llguidance computes with in 32 bits when schemas meet."""
    exact = [Decimal(str(factor)) for factor in factors]
    digits = max(max(0, -int(factor.as_tuple().exponent)) for factor in exact)
    whole = [int(factor.scaleb(digits)) for factor in exact]
    return math.lcm(*whole) * max(whole)
