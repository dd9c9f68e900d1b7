"""Where a JSON schema has schemas in it, and what its references name (JSON Schema 2020-12, 8.2).

Only values in the places of schemas are schemas: a ``$ref`` in a ``const`` is data, and a property
may be called ``$ref``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urljoin

from deployments.engine.grammar.schema_numbers import Unkeepable

Schema: TypeAlias = dict[str, Any]

ONE = ("additionalItems", "additionalProperties", "items")
SEVERAL = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
NAMED = ("patternProperties", "properties")
INDEX = re.compile(r"[0-9]{1,9}")
SHOWN = 80
"""Characters of a pointer in a message."""

DEFINITIONS = ("$defs", "definitions")


class SchemaPlace(NamedTuple):
    """A schema, the JSON pointer to it, and the identified schema that it is a part of."""

    schema: Schema
    at: str
    resource: Resource

    @property
    def shown(self) -> str:
        """The pointer, or the end of a long one."""
        return self.at if len(self.at) <= SHOWN else f"...{self.at[-SHOWN:]}"


class Resource(NamedTuple):
    """A schema with an ``$id`` of its own, or the whole document."""

    root: Schema
    uri: str
    at: str


def parts(place: SchemaPlace, *, definitions: bool = False) -> Iterator[SchemaPlace]:
    """The schemas directly inside one; its definitions too, which by themselves demand nothing."""
    for path, value in _values(place.schema, definitions):
        if isinstance(value, dict):
            yield _placed(value, place.at + path, place.resource)


def _values(schema: Schema, definitions: bool) -> Iterator[tuple[str, Any]]:
    for keyword in ONE:
        yield f"/{keyword}", schema.get(keyword)
    for keyword in SEVERAL:
        values = schema.get(keyword)
        for index, value in enumerate(values if isinstance(values, list) else ()):
            yield f"/{keyword}/{index}", value
    for keyword in (*NAMED, *DEFINITIONS) if definitions else NAMED:
        named = schema.get(keyword)
        for name, value in named.items() if isinstance(named, dict) else ():
            yield f"/{keyword}/{_escaped(name)}", value


def _placed(schema: Schema, at: str, resource: Resource) -> SchemaPlace:
    given = schema.get("$id")
    if isinstance(given, str) and given and not given.startswith("#"):
        resource = Resource(schema, _split(_joined(resource.uri, given))[0], at)
    return SchemaPlace(schema, at, resource)


def _split(uri: str) -> tuple[str, str]:
    """The part before the fragment, and the fragment. Nothing is asked of the rest of a URI."""
    before, _, fragment = uri.partition("#")
    return before, fragment


def _joined(base: str, reference: str) -> str:
    if reference.startswith("#"):  # urljoin knows no fragments of schemes such as urn
        return base + reference
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference


class SchemaDocument:
    """A schema with everything in it that references may name."""

    def __init__(self, root: Schema) -> None:
        self.root = _placed(root, "#", Resource(root, "", "#"))
        self._resources: dict[str, SchemaPlace] | None = None
        self._anchors: dict[tuple[str, str], SchemaPlace] = {}

    def target(self, place: SchemaPlace) -> SchemaPlace | None:
        """What the ``$ref`` of ``place`` names; ``None`` for a document that is not this one.

        Raises :class:`Unkeepable` where nothing in this document is called so.
        """
        reference = place.schema["$ref"]
        if not isinstance(reference, str):
            raise Unkeepable(f"{place.shown}: $ref must be a text")
        uri, fragment = _split(_joined(place.resource.uri, reference))
        resource = self._resource(uri, place.resource)
        if resource is None:
            return None
        found = self._inside(resource, unquote(fragment))
        if found is None:
            raise Unkeepable(f"{place.shown}: nothing in the schema is called {reference[:100]}")
        return found

    def _resource(self, uri: str, around: Resource) -> SchemaPlace | None:
        if uri == around.uri:
            return SchemaPlace(around.root, around.at, around)
        return self._index().get(uri)

    def _inside(self, resource: SchemaPlace, fragment: str) -> SchemaPlace | None:
        if fragment and not fragment.startswith("/"):
            self._index()
            return self._anchors.get((resource.resource.uri, fragment))
        place, value, at, around = resource, resource.schema, resource.at, resource.resource
        for step in fragment.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            value = _member(value, name)
            at = f"{at}/{step}"
            if isinstance(value, dict):
                place = _placed(value, at, around)
                around = place.resource
        if isinstance(value, bool):
            return SchemaPlace({} if value else {"enum": []}, at, around)
        return place if place.schema is value else None

    def _index(self) -> dict[str, SchemaPlace]:
        if self._resources is None:
            self._resources = {self.root.resource.uri: self.root}
            waiting = [self.root]
            while waiting:
                place = waiting.pop()
                uri = place.resource.uri
                if place.resource.root is place.schema:
                    self._resources.setdefault(uri, place)
                for anchor in (place.schema.get("$anchor"), _old_anchor(place.schema)):
                    if isinstance(anchor, str):
                        self._anchors.setdefault((uri, anchor), place)
                waiting += parts(place, definitions=True)
        return self._resources


def _old_anchor(schema: Schema) -> str | None:
    """How drafts before 2019-09 wrote one."""
    given = schema.get("$id")
    return given[1:] if isinstance(given, str) and given.startswith("#") else None


def _member(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and INDEX.fullmatch(name) and int(name) < len(value):
        return value[int(name)]
    return None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
