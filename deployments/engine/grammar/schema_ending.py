"""Finds schemas without a finite instance, which a text could begin but never end.

For example, ``{"$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}},
"required": ["a"]}}}``: an ``A`` always contains another one.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from deployments.engine.grammar.schema_numbers import UnsupportedSchema
from deployments.engine.grammar.schema_rules import types
from deployments.engine.grammar.schema_walk import SchemaDocument, SchemaPlace, parts


class FiniteSchemas:
    """Which schemas of a document have a finite instance, as far as references decide that.

    A schema is finite once all schemas that it needs are: those of its required properties, of the
    items up to ``minItems``, all of ``allOf``, one of ``anyOf`` or ``oneOf``, and the target of its
    ``$ref``. The rest are infinite.
    """

    def __init__(self, document: SchemaDocument, places: list[SchemaPlace]) -> None:
        self._document = document
        self._places = places
        self._infinite = {id(place.schema) for place in places}

    def exclude_infinite(self) -> None:
        """Let infinite schemas match nothing, so that no text begins one.

        Raises :class:`UnsupportedSchema` if the root is infinite.
        """
        self._find()
        infinite = [each for each in self._places if id(each.schema) in self._infinite]
        for place in infinite:
            if place is self._places[0] or place.schema is self._places[0].schema:
                raise UnsupportedSchema("no text that fits it can end: it always contains itself")
        for place in infinite:
            place.schema.pop("$ref", None)
            place.schema["enum"] = []

    def _find(self) -> None:
        needed_by: dict[int, list[SchemaPlace]] = {}
        for place in self._places:
            target = self._document.target(place) if "$ref" in place.schema else None
            for part in [*parts(place), *([] if target is None else [target])]:
                needed_by.setdefault(id(part.schema), []).append(place)
        # A schema with thousands of parts looks through them all, so each is queued once at a time.
        waiting = deque(reversed(self._places))
        queued = {id(place) for place in waiting}
        while waiting:
            place = waiting.popleft()
            queued.discard(id(place))
            if id(place.schema) in self._infinite and self._is_finite(place):
                self._infinite.remove(id(place.schema))
                again = [p for p in needed_by.get(id(place.schema), ()) if id(p) not in queued]
                queued.update(map(id, again))
                waiting += again

    def _is_finite(self, place: SchemaPlace) -> bool:
        schema = place.schema
        if "const" in schema or "enum" in schema:
            return True
        if "$ref" in schema:
            target = self._document.target(place)
            if target is not None and not self._known_finite(target.schema):
                return False
        if not all(map(self._known_finite, _listed(schema, "allOf"))):
            return False
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema and not any(map(self._known_finite, _listed(schema, keyword))):
                return False
        allowed = types(schema)
        if allowed - {"array", "object"}:
            return True
        return ("object" in allowed and self._object_is_finite(place)) or (
            "array" in allowed and self._array_is_finite(place)
        )

    def _object_is_finite(self, place: SchemaPlace) -> bool:
        schema = place.schema
        properties = schema.get("properties")
        named = properties if isinstance(properties, dict) else {}
        # Only llguidance knows which pattern a name matches, so patterns count as finite.
        additional = True if schema.get("patternProperties") else schema.get("additionalProperties")
        names = [each for each in _listed(schema, "required") if isinstance(each, str)]
        return all(self._known_finite(named.get(name, additional)) for name in names)

    def _array_is_finite(self, place: SchemaPlace) -> bool:
        schema = place.schema
        min_items = schema.get("minItems", 0)
        first = schema.get("prefixItems")
        items = schema.get("items", True)
        if isinstance(items, list):
            first, items = items, schema.get("additionalItems", True)
        leading = first if isinstance(first, list) else []
        if not isinstance(min_items, int) or not min_items:
            return True
        return all(map(self._known_finite, leading[:min_items])) and (
            min_items <= len(leading) or self._known_finite(items)
        )

    def _known_finite(self, schema: Any) -> bool:
        return not isinstance(schema, dict) or id(schema) not in self._infinite


def _listed(schema: dict[str, Any], keyword: str) -> list[Any]:
    values = schema.get(keyword)
    return values if isinstance(values, list) else []
