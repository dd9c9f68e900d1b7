"""Whether two schemas can have an instance in common, as far as that can be told for certain."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from deployments.engine.grammar.schema_walk import SchemaDocument, SchemaPlace, parts

TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})
MAX_COMPARISONS = 8_000
"""Of one document: some tens of milliseconds."""

DEPTH = 12


class Overlap:
    """Tells schemas of one document apart: by type, by constants, by a property that both need."""

    def __init__(self, document: SchemaDocument) -> None:
        self._document = document
        self._left = MAX_COMPARISONS

    def all_apart(self, places: list[SchemaPlace]) -> bool:
        """Whether no instance of one of them can be an instance of another."""
        return all(
            self.apart(one, other, DEPTH)
            for index, one in enumerate(places)
            for other in places[index + 1 :]
        )

    def apart(self, one: SchemaPlace, other: SchemaPlace, depth: int) -> bool:
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
        mine, others = _constants(one), _constants(other)
        return mine is not None and others is not None and mine.isdisjoint(others)

    def _by_property(self, one: SchemaPlace, other: SchemaPlace, depth: int) -> bool:
        """A property that every instance of ``one`` has, and none of ``other`` has so."""
        if _types(one) != {"object"} or _types(other) != {"object"}:
            return False
        needed = one.schema.get("required")
        mine, others = _properties(one), _properties(other)
        self._left -= len(mine) + len(others)
        for name in needed if isinstance(needed, list) else ():
            if not isinstance(name, str):
                continue
            if name in others:
                if name in mine and self.apart(mine[name], others[name], depth - 1):
                    return True
            elif _closed(other):
                return True
        return False

    def _by_part(self, one: SchemaPlace, other: SchemaPlace, depth: int) -> bool:
        """By what ``one`` has to be besides: what it refers to, all of these, one of those."""
        if "$ref" in one.schema:
            target = self._document.target(one)
            if target is not None and self.apart(target, other, depth - 1):
                return True
        if not any(keyword in one.schema for keyword in ("allOf", "anyOf", "oneOf")):
            return False
        inside = list(parts(one))
        self._left -= len(inside)
        both = [part for part in inside if part.at.startswith(f"{one.at}/allOf/")]
        if any(self.apart(part, other, depth - 1) for part in both):
            return True
        for keyword in ("anyOf", "oneOf"):
            given = one.schema.get(keyword)
            branches = [part for part in inside if part.at.startswith(f"{one.at}/{keyword}/")]
            whole = isinstance(given, list) and len(branches) == len(given) > 0
            if whole and all(self.apart(part, other, depth - 1) for part in branches):
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
    """Equal for what JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
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
    """Whether it has no properties but those that it names."""
    return place.schema.get("additionalProperties") is False and not place.schema.get(
        "patternProperties"
    )
