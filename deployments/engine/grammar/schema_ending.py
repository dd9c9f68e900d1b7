"""Schemas whose instances would have to contain themselves without end."""

from __future__ import annotations

from collections import deque
from typing import Any

from deployments.engine.grammar.schema_numbers import Unkeepable
from deployments.engine.grammar.schema_rules import types
from deployments.engine.grammar.schema_walk import SchemaDocument, SchemaPlace, parts


class Endings:
    """Which of a document's schemas have a finite instance, as far as references decide that.

    The least set in which a schema is found once what it needs is: a required property's schema, an
    item's below ``minItems``, all of ``allOf``, one of ``anyOf``, what a reference names.
    """

    def __init__(self, document: SchemaDocument, places: list[SchemaPlace]) -> None:
        self._document = document
        self._places = places
        self._open = {id(place.schema) for place in places}

    def cut(self) -> None:
        """Let nothing choose a schema without end. Raises :class:`Unkeepable` if the root is one.

        A model that began one could only go on until its tokens are used up.
        """
        self._find()
        endless = [each for each in self._places if id(each.schema) in self._open]
        for place in endless:
            if place is self._places[0] or place.schema is self._places[0].schema:
                raise Unkeepable("no text that fits it can end: it always contains itself")
        for place in endless:
            place.schema.pop("$ref", None)
            place.schema["enum"] = []

    def _find(self) -> None:
        needed_by: dict[int, list[SchemaPlace]] = {}
        for place in self._places:
            target = self._document.target(place) if "$ref" in place.schema else None
            for part in [*parts(place), *([] if target is None else [target])]:
                needed_by.setdefault(id(part.schema), []).append(place)
        # One at a time, and each once a round: what has thousands of parts looks through them all.
        waiting = deque(reversed(self._places))
        queued = {id(place) for place in waiting}
        while waiting:
            place = waiting.popleft()
            queued.discard(id(place))
            if id(place.schema) in self._open and self._ends(place):
                self._open.remove(id(place.schema))
                again = [p for p in needed_by.get(id(place.schema), ()) if id(p) not in queued]
                queued.update(map(id, again))
                waiting += again

    def _ends(self, place: SchemaPlace) -> bool:
        schema = place.schema
        if "const" in schema or "enum" in schema:
            return True
        if "$ref" in schema:
            target = self._document.target(place)
            if target is not None and not self._found(target.schema):
                return False
        if not all(map(self._found, _listed(schema, "allOf"))):
            return False
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema and not any(map(self._found, _listed(schema, keyword))):
                return False
        allowed = types(schema)
        if allowed - {"array", "object"}:
            return True
        return ("object" in allowed and self._object_ends(place)) or (
            "array" in allowed and self._array_ends(place)
        )

    def _object_ends(self, place: SchemaPlace) -> bool:
        schema = place.schema
        properties = schema.get("properties")
        named = properties if isinstance(properties, dict) else {}
        # Which pattern a name matches is llguidance's business, so patterns decide nothing here.
        others = True if schema.get("patternProperties") else schema.get("additionalProperties")
        names = [each for each in _listed(schema, "required") if isinstance(each, str)]
        return all(self._found(named.get(name, others)) for name in names)

    def _array_ends(self, place: SchemaPlace) -> bool:
        schema = place.schema
        least = schema.get("minItems", 0)
        first = schema.get("prefixItems")
        items = schema.get("items", True)
        if isinstance(items, list):
            first, items = items, schema.get("additionalItems", True)
        leading = first if isinstance(first, list) else []
        if not isinstance(least, int) or not least:
            return True
        return all(map(self._found, leading[:least])) and (
            least <= len(leading) or self._found(items)
        )

    def _found(self, schema: Any) -> bool:
        return not isinstance(schema, dict) or id(schema) not in self._open


def _listed(schema: dict[str, Any], keyword: str) -> list[Any]:
    values = schema.get(keyword)
    return values if isinstance(values, list) else []
