"""Bodies that would stall whoever looks at every item: for every list, object and text of a schema.

They are made from the OpenAPI document, so that a new route is among them by being there. Steps of
``/graph`` and the tasks below ``/models`` are not told apart by the document; their bodies' own
schemas are put where a request has them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from fastapi import APIRouter

from serve_app.ingress.catalog import Catalog
from serve_app.ingress.routes.context import NATIVE_PREFIX
from serve_app.ingress.routes.inference_router import hub_tasks_of
from serve_app.ingress.routes.native_router import native_tasks
from serve_app.ingress.validation.bounded_json import MAX_NUMBERS, MAX_VALUES

Put: TypeAlias = Callable[[Any], Any]
"""Puts a part of a body in its place: a part to the whole."""

HERE = "@@here@@"
FILL = json.dumps(HERE).encode()
MIB = 1024 * 1024
NUMERIC = ("/similarity", "/v1/completions", "/v1/embeddings")
"""Routes that take more numbers than others take values."""

BY_MODEL = ("/models/{model_id}", "/pipeline/{task}")


@dataclass(frozen=True)
class Place:
    """A list, an object, a number or a text within a route's body.

    ``whole`` is the body with ``HERE`` there, ``sample`` something that the schema takes.
    """

    route: str
    name: str
    schema: Mapping[str, Any]
    whole: Any
    sample: Any

    @property
    def kind(self) -> str:
        return str(self.schema.get("type"))

    def filled(self, content: bytes) -> bytes:
        return json.dumps(self.whole).encode().replace(FILL, content)


def places(
    document: Mapping[str, Any], routers: Sequence[APIRouter], catalog: Catalog
) -> Iterator[Place]:
    """Every place of every body that an application takes whose families have ``routers``."""
    walked: list[Mapping[str, Any]] = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            if content in walked:
                continue  # several routes take the same body
            walked.append(content)
            if path.endswith(BY_MODEL):
                continue  # which of its bodies is meant, the model says: see the tasks below
            if "application/json" in content and method == "post":
                schema = content["application/json"]["schema"]
                route = path.replace("{user_id}", "ada").replace("{model_id}", _chat(catalog))
                yield from _walked(route, "", schema, document, lambda value: value)
    for name, task in native_tasks(routers).items():
        yield from _walked(
            f"{NATIVE_PREFIX}/graph",
            f"steps.{name}",
            task.body.model_json_schema(),
            None,
            _as_step(name),
        )
    for hub_task in hub_tasks_of(routers):
        card = next((each for each in catalog.cards if hub_task.model_task in each.tasks), None)
        if card is not None:
            route = f"/models/{card.name}/pipeline/{hub_task.name}"
            schema = hub_task.body.model_json_schema()
            yield from _walked(route, "", schema, None, lambda value: value)


def distinct(found: Iterable[Place]) -> list[Place]:
    """One of those whose names end alike and whose schemas are the same: one class checks them."""
    return list({(each.name.rpartition(".")[2], str(each.schema)): each for each in found}.values())


def wrong(place: Place) -> Iterator[bytes]:
    """Nearly as much as is parsed, and far more, of what does not belong there."""
    most = MAX_NUMBERS if place.route.endswith(NUMERIC) else MAX_VALUES
    match place.kind:
        case "array":
            yield _list(b"[]", MAX_VALUES - 500)
            yield _list(b'""', most - 500)
            yield _list(b"1", MIB)
        case "object":
            yield _object(MAX_VALUES - 500, b"1")
        case "string":
            yield b'"' + rb"a, \u0416\\" * (4 * MIB // 11) + b'"'


def more_wrong(place: Place) -> Iterator[bytes]:
    """What takes too long to be put everywhere at each change."""
    match place.kind:
        case "array":
            for item in (b"1", b"null", b'"x"'):
                yield _list(item, MAX_VALUES - 500)
            yield _list(b'{"a":{}}', MAX_VALUES // 4)
            yield _list(_list(b"1", 999), 99)
        case "object":
            yield _object(MAX_VALUES // 2, b"null")
            yield _object(MAX_VALUES // 4, b'{"a":[]}')
            yield _object(MIB // 2, b'""')
        case "string":
            for text in (b"a", b"$$", b"%41", b"A" * 64, rb"\"", b"[],", b"\xd0\x96"):
                yield b'"' + text * (9 * MIB // len(text)) + b'"'
            yield b'"data:image/png;base64,' + b"%41" * (3 * MIB) + b'"'
            yield b'"data:image/png;base64,' + b"AAAA" * (2 * MIB) + b'"'
        case "integer" | "number":
            yield b"1" * 4000
            yield b"1" * (9 * MIB)
            yield b"0." + b"1" * (9 * MIB)


def legal(place: Place) -> Iterator[bytes]:
    """As much as is taken there: 2,048 texts of prose, a prompt, a long vector."""
    prose = rb"Well, [he said], {no}: \"yes\". "
    if place.kind == "string":
        yield b'"' + prose * 3000 + b'"'
    elif place.kind == "array":
        texts = min(2048, place.schema.get("maxItems", 2048))
        yield _list(b'"' + prose * 130 + b'"', texts)
        yield _list(b"0.12345678901", min(65_536, place.schema.get("maxItems", 65_536)))


def oddities() -> Iterator[bytes]:
    """What takes a parser long, or fills memory: for any route that takes JSON."""
    yield b"[" + b"[]," * (3 * MIB) + b"[]]"
    yield b'{"input":[' + b"[]," * (3 * MIB) + b"[]]}"
    yield b"[" * (9 * MIB)
    yield b'{"a":' * MIB
    yield b'{"a":' * 190 + b"1" + b"}" * 190
    yield b"[" + b"1.5," * (2 * MIB) + b"1]"
    yield b"{" + b'"a":1,' * MIB + b'"a":1}'
    yield b"{" + b'"a":1,' * (MAX_VALUES - 10) + b'"a":1}'
    yield b'{"a":"' + b"b" * (9 * MIB) + b'"}'
    yield b'{"' + b"b" * (9 * MIB) + b'":1}'
    yield b'{"a":"' + b'\\"' * (4 * MIB) + b'"}'
    yield b'["' + b"\xc3" * (9 * MIB)
    yield b"\x00" * (9 * MIB)
    yield b" " * (9 * MIB)


def _walked(
    route: str,
    name: str,
    schema: Any,
    document: Mapping[str, Any] | None,
    put: Put,
) -> Iterator[Place]:
    """Every place below one part of a body, which ``put`` puts in its place."""
    root = schema if document is None else document

    def walk(name: str, schema: Any, put: Put) -> Iterator[Place]:
        schema = _resolved(schema, root)
        for branch in schema.get("anyOf", schema.get("oneOf", ())):
            yield from walk(name, branch, put)
        kind = schema.get("type")
        if kind in ("array", "object", "string", "number", "integer"):
            yield Place(route, name or "body", schema, put(HERE), _sample(schema, root))
        if kind == "array":
            yield from walk(f"{name}.0", schema.get("items", {}), lambda value: put([value]))
        if kind == "object":
            fields = schema.get("properties", {})
            around = _sample(schema, root) or {}
            for key, each in fields.items():
                yield from walk(f"{name}.{key}".lstrip("."), each, _as_field(put, around, key))
            if isinstance(others := schema.get("additionalProperties"), dict):
                yield from walk(f"{name}.*", others, lambda value: put({"1": value}))

    yield from walk(name, schema, put)


def _as_step(task: str) -> Put:
    return lambda value: {"steps": [{"id": "a", "task": task, "inputs": value}]}


def _as_field(put: Put, around: Mapping[str, Any], key: str) -> Put:
    return lambda value: put({**around, key: value})


def _resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    while "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _sample(schema: Any, root: Mapping[str, Any]) -> Any:
    """A value that the schema takes, as far as schemas say it."""
    schema = _resolved(schema, root)
    if "example" in schema:
        return schema["example"]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _sample(schema[key][0], root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {key: _sample(fields.get(key, {}), root) for key in schema.get("required", ())}
        case "array":
            return [_sample(schema.get("items", {}), root)]
        case "string":
            return "a {}"
        case "integer" | "number":
            return 1
        case "boolean":
            return False
    return None


@cache
def _list(item: bytes, count: int) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


@cache
def _object(count: int, value: bytes) -> bytes:
    return b"{" + b",".join(b'"key%d":%s' % (i, value) for i in range(count)) + b"}"


def _chat(catalog: Catalog) -> str:
    return next(card.name for card in catalog.cards if "chat" in card.tasks)
