"""Finds out whether two schemas exclude each other: no value is valid under both.

For example, ``{"type": "string"}`` and ``{"const": 1}`` do, and so do two objects whose required
property ``kind`` has different constants. ``oneOf`` is supported where all alternatives do.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from deployments.engine.grammar.schema_walk import SchemaDocument, SchemaPlace, parts

TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})
MAX_COMPARISONS = 8_000
"""Comparisons in a document: some tens of milliseconds. Beyond, schemas count as overlapping."""

MAX_DEPTH = 12
"""Levels of a schema that are compared."""


class SchemaOverlap:
    """Compares schemas of one document: by type, by constants, by a required property.

    It says "exclusive" only when that is certain.
    """

    def __init__(self, document: SchemaDocument) -> None:
        self._document = document
        self._left = MAX_COMPARISONS

    def all_exclusive(self, places: list[SchemaPlace]) -> bool:
        """Whether no value is valid under two of these schemas."""
        return all(
            self.exclusive(one, other, MAX_DEPTH)
            for index, one in enumerate(places)
            for other in places[index + 1 :]
        )

    def exclusive(self, one: SchemaPlace, other: SchemaPlace, depth: int) -> bool:
        """Whether no value is valid under both, looking ``depth`` levels deep."""
        self._left -= 1
        if self._left < 0 or depth == 0:
            return False
        return (
            not (_types(one) & _types(other))
            or self._values_differ(one, other)
            or self._by_property(one, other, depth)
            or self._by_property(other, one, depth)
            or self._by_part(one, other, depth)
            or self._by_part(other, one, depth)
        )

    def _values_differ(self, one: SchemaPlace, other: SchemaPlace) -> bool:
        ours, theirs = _constants(one), _constants(other)
        return ours is not None and theirs is not None and ours.isdisjoint(theirs)

    def _by_property(self, one: SchemaPlace, other: SchemaPlace, depth: int) -> bool:
        """By a property that ``one`` requires, and ``other`` excludes or gives another schema."""
        if _types(one) != {"object"} or _types(other) != {"object"}:
            return False
        needed = one.schema.get("required")
        ours, theirs = _properties(one), _properties(other)
        self._left -= len(ours) + len(theirs)
        for name in needed if isinstance(needed, list) else ():
            if not isinstance(name, str):
                continue
            if name in theirs:
                if name in ours and self.exclusive(ours[name], theirs[name], depth - 1):
                    return True
            elif _closed(other):
                return True
        return False

    def _by_part(self, one: SchemaPlace, other: SchemaPlace, depth: int) -> bool:
        """By the schemas that ``one`` refers to: ``$ref``, ``allOf``, ``anyOf`` and ``oneOf``."""
        if "$ref" in one.schema:
            target = self._document.target(one)
            if target is not None and self.exclusive(target, other, depth - 1):
                return True
        if not any(keyword in one.schema for keyword in ("allOf", "anyOf", "oneOf")):
            return False
        inside = list(parts(one))
        self._left -= len(inside)
        members = [part for part in inside if part.at.startswith(f"{one.at}/allOf/")]
        if any(self.exclusive(part, other, depth - 1) for part in members):
            return True
        for keyword in ("anyOf", "oneOf"):
            given = one.schema.get(keyword)
            branches = [part for part in inside if part.at.startswith(f"{one.at}/{keyword}/")]
            complete = isinstance(given, list) and len(branches) == len(given) > 0
            if complete and all(self.exclusive(part, other, depth - 1) for part in branches):
                return True
        return False


def _types(place: SchemaPlace) -> frozenset[str]:
    values = _values(place)
    if values is not None:
        return frozenset(type_of(value) for value in values)
    given = place.schema.get("type")
    if given is None:
        return TYPES
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list):
        return TYPES
    return frozenset("number" if name == "integer" else str(name) for name in names)


def type_of(value: Any) -> str:
    """The JSON type of a value; integers are numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "number"


def _values(place: SchemaPlace) -> list[Any] | None:
    if "const" in place.schema:
        return [place.schema["const"]]
    values = place.schema.get("enum")
    return values if isinstance(values, list) else None


def _constants(place: SchemaPlace) -> frozenset[Any] | None:
    values = _values(place)
    return None if values is None else frozenset(map(_comparable, values))


def _comparable(value: Any) -> Any:
    """A key that is equal for values that JSON Schema calls equal: 1 and 1.0, but not true."""
    if isinstance(value, dict):
        return ("object", frozenset((key, _comparable(each)) for key, each in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(_comparable, value)))
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return ("number", Decimal(value).normalize())
    return (type_of(value), value)


def _properties(place: SchemaPlace) -> dict[str, SchemaPlace]:
    names = place.schema.get("properties")
    if not isinstance(names, dict):
        return {}
    found: Iterable[SchemaPlace] = parts(place)
    by_identity = {id(part.schema): part for part in found}
    return {name: by_identity[id(each)] for name, each in names.items() if id(each) in by_identity}


def _closed(place: SchemaPlace) -> bool:
    """Whether it allows no properties but those that it names."""
    return place.schema.get("additionalProperties") is False and not place.schema.get(
        "patternProperties"
    )
