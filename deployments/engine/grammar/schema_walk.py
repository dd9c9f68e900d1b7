"""Walks a JSON schema: the schemas inside a schema, and the targets of ``$ref``.

A ``$ref`` is resolved by JSON pointer, ``$anchor`` or ``$id`` within the document (JSON Schema
2020-12, section 8.2). Only values under schema keywords are schemas: in ``{"const": {"$ref":
"#"}}`` the ``$ref`` is data, and a property may be called ``$ref``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urljoin

from deployments.engine.grammar.schema_numbers import UnsupportedSchema

Schema: TypeAlias = dict[str, Any]

SCHEMA_KEYWORDS = ("additionalItems", "additionalProperties", "items")
SCHEMA_LIST_KEYWORDS = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
SCHEMA_MAP_KEYWORDS = ("patternProperties", "properties")
LIST_INDEX = re.compile(r"[0-9]{1,9}")
MAX_POINTER_CHARACTERS = 80
"""How much of a JSON pointer a message shows."""

DEFINITIONS = ("$defs", "definitions")


class SchemaPlace(NamedTuple):
    """A schema, the JSON pointer ``at`` which it stands, and the resource that it belongs to."""

    schema: Schema
    at: str
    resource: SchemaResource

    @property
    def shown(self) -> str:
        """The pointer for a message, or the end of a long one."""
        return (
            self.at
            if len(self.at) <= MAX_POINTER_CHARACTERS
            else f"...{self.at[-MAX_POINTER_CHARACTERS:]}"
        )


class SchemaResource(NamedTuple):
    """The part of a document to which references without a URI refer.

    It is the whole document, or a schema in it with an ``$id`` of its own.
    """

    root: Schema
    uri: str
    at: str


def parts(place: SchemaPlace, *, definitions: bool = False) -> Iterator[SchemaPlace]:
    """The schemas directly inside a schema, with its ``definitions`` or without."""
    for path, value in _values(place.schema, definitions):
        if isinstance(value, dict):
            yield _placed(value, place.at + path, place.resource)


def _values(schema: Schema, definitions: bool) -> Iterator[tuple[str, Any]]:
    for keyword in SCHEMA_KEYWORDS:
        yield f"/{keyword}", schema.get(keyword)
    for keyword in SCHEMA_LIST_KEYWORDS:
        values = schema.get(keyword)
        for index, value in enumerate(values if isinstance(values, list) else ()):
            yield f"/{keyword}/{index}", value
    for keyword in (*SCHEMA_MAP_KEYWORDS, *DEFINITIONS) if definitions else SCHEMA_MAP_KEYWORDS:
        named = schema.get(keyword)
        for name, value in named.items() if isinstance(named, dict) else ():
            yield f"/{keyword}/{_escaped(name)}", value


def _placed(schema: Schema, at: str, resource: SchemaResource) -> SchemaPlace:
    given = schema.get("$id")
    if isinstance(given, str) and given and not given.startswith("#"):
        resource = SchemaResource(schema, _split(_joined(resource.uri, given))[0], at)
    return SchemaPlace(schema, at, resource)


def _split(uri: str) -> tuple[str, str]:
    """A URI without its fragment, and the fragment. The rest of the URI is not checked."""
    before, _, fragment = uri.partition("#")
    return before, fragment


def _joined(base: str, reference: str) -> str:
    if reference.startswith("#"):  # urljoin drops the fragments of schemes such as urn
        return base + reference
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference


class SchemaDocument:
    """A whole schema, in which references are resolved."""

    def __init__(self, root: Schema) -> None:
        self.root = _placed(root, "#", SchemaResource(root, "", "#"))
        self._resources: dict[str, SchemaPlace] | None = None
        self._anchors: dict[tuple[str, str], SchemaPlace] = {}

    def target(self, place: SchemaPlace) -> SchemaPlace | None:
        """The target of the ``$ref`` at ``place``; ``None`` if it is in another document.

        Raises :class:`UnsupportedSchema` if this document has no such target.
        """
        reference = place.schema["$ref"]
        if not isinstance(reference, str):
            raise UnsupportedSchema(f"{place.shown}: $ref must be a text")
        uri, fragment = _split(_joined(place.resource.uri, reference))
        resource = self._resource(uri, place.resource)
        if resource is None:
            return None
        found = self._inside(resource, unquote(fragment))
        if found is None:
            raise UnsupportedSchema(
                f"{place.shown}: nothing in the schema is called {reference[:100]}"
            )
        return found

    def _resource(self, uri: str, around: SchemaResource) -> SchemaPlace | None:
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
    """An anchor as drafts before 2019-09 wrote it: ``{"$id": "#name"}``."""
    given = schema.get("$id")
    return given[1:] if isinstance(given, str) and given.startswith("#") else None


def _member(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and LIST_INDEX.fullmatch(name) and int(name) < len(value):
        return value[int(name)]
    return None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
