"""Closes objects: where a schema names properties, a text has these and no others.

JSON Schema allows any other property unless ``additionalProperties`` is false. Small models then
invent properties until their tokens end, and most schemas that clients generate mean a closed
object. xgrammar and outlines close them as well. ``"additionalProperties": true`` keeps one open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from deployments.engine.grammar.schema_walk import Schema, SchemaDocument, SchemaPlace, parts

SAYS_OTHERWISE = ("additionalProperties", "unevaluatedProperties")
IN_PLACE = ("allOf", "anyOf", "oneOf")
"""Keywords whose schemas apply to the same value."""

OF_OBJECTS = ("properties", "patternProperties", "required", *SAYS_OTHERWISE)


def close_objects(document: SchemaDocument, places: Iterable[SchemaPlace]) -> None:
    """Close, in place, every schema of ``places`` that names properties and does not say otherwise.

    Schemas that apply to the same object as another one stay open, for each may name what the other
    does not: both sides of an ``allOf``, for instance.
    """
    places = list(places)
    shared = _SharedObjects(document)
    for place in places:
        shared.add(place)
    for place in places:
        if id(place.schema) not in shared.schemas and _may_close(place.schema):
            place.schema["additionalProperties"] = False


def _may_close(schema: Schema) -> bool:
    named = schema.get("properties")
    if not isinstance(named, dict) or any(keyword in schema for keyword in SAYS_OTHERWISE):
        return False
    needed = schema.get("required")
    at_least = schema.get("minProperties")
    return not (
        (isinstance(needed, list) and any(name not in named for name in needed))
        or (isinstance(at_least, int) and at_least > len(named))
    )


class _SharedObjects:
    """The schemas that describe an object together with others, by ``id``."""

    def __init__(self, document: SchemaDocument) -> None:
        self._document = document
        self.schemas: set[int] = set()

    def add(self, place: SchemaPlace) -> None:
        """Note the schemas of ``place``, if several describe the same object."""
        schema = place.schema
        described_here = any(keyword in schema for keyword in OF_OBJECTS)
        all_of = schema.get("allOf")
        members = len(all_of) if isinstance(all_of, list) else 0
        others = sum(keyword in schema for keyword in ("$ref", "anyOf", "oneOf"))
        if described_here + members + others > 1:
            self._mark(place)

    def _mark(self, place: SchemaPlace) -> None:
        waiting = [place]
        while waiting:
            each = waiting.pop()
            if id(each.schema) not in self.schemas:
                self.schemas.add(id(each.schema))
                waiting += self._in_place(each)

    def _in_place(self, place: SchemaPlace) -> Iterator[SchemaPlace]:
        inside: list[Any] = [
            each
            for keyword in IN_PLACE
            for each in (place.schema.get(keyword) or ())
            if isinstance(place.schema.get(keyword), list)
        ]
        ids = set(map(id, inside))
        yield from (part for part in parts(place) if id(part.schema) in ids)
        if "$ref" in place.schema:
            target = self._document.target(place)
            if target is not None:
                yield target
