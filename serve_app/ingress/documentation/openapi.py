"""The OpenAPI document: FastAPI's, with short names, events of streams, and validation's bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from configs.settings import Settings
from serve_app.ingress.documentation.rules import READABLE

DEFINITIONS = "#/$defs/"
COMPONENTS = "#/components/schemas/"
EXAMPLES = frozenset({"example", "examples", "default", "const", "enum"})
"""Keywords whose values are no schemas."""
INT64 = 2**63
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
TEXTS = frozenset({"texts", "input", "inputs", "candidate_texts", "documents", "sentences"})
PROMPTS = frozenset(
    {
        "prompt",
        "message",
        "initial_message",
        "question",
        "query",
        "query_text",
        "text1",
        "text2",
        "source_sentence",
    }
)
"""Fields of bodies that hold texts: lists of them, or one."""


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, behind its surface where that tells it from another's."""
    name = route.name.removesuffix("_route")
    path = route.path_format
    if path.startswith("/v1/"):
        return f"openai_{name}"
    if "/vision/" in path:
        return f"vision_{name}"
    return name


def event_stream(
    events: Mapping[str, type[BaseModel]] | None = None,
    *,
    unnamed: Sequence[type[BaseModel]] = (),
    done: bool = False,
) -> dict[int | str, dict[str, Any]]:
    """The description of a streamed answer. ``events`` has the data of each event by its name.

    ``unnamed`` events are data alone; with ``done`` a last one is the text ``[DONE]``.
    """
    named = [_event(name, model) for name, model in (events or {}).items()]
    named += [_event("", model) for model in unnamed]
    if done:
        named.append(_item("", {"type": "string", "const": "[DONE]"}))
    names = ", ".join([*(events or {}), *(model.__name__ for model in unnamed)])
    content = {
        "schema": {
            "type": "string",
            "description": f"server-sent events ({names}); itemSchema describes each",
        },
        "itemSchema": {"anyOf": named},
    }
    return {200: {"description": "server-sent events", "content": {"text/event-stream": content}}}


def _event(name: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="serialization")
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return _item(name, data)


def _item(name: str, data: dict[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "object", "required": ["data"], "properties": {"data": data}}
    if name:
        item["required"] = ["event", "data"]
        item["properties"]["event"] = {"type": "string", "const": name}
    return item


def complete(app: FastAPI, settings: Settings) -> None:
    """Let ``app`` answer for its document with the completed one, which is made once."""
    made = app.openapi
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(completed(made(), settings, app.state.tasks))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def completed(
    document: dict[str, Any], settings: Settings, tasks: Iterable[str] = ()
) -> dict[str, Any]:
    """``document`` with what FastAPI leaves out of it. Changes and returns it.

    ``tasks`` are those that a step of a graph may name.
    """
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    document.setdefault("servers", [{"url": "/"}])
    for part in _parts(document):
        _bounded(part, settings)
        _without_empty_answer(part)
    _hoist(document["paths"], schemas)
    if step := schemas.get("StepBody"):
        step["properties"]["task"]["enum"] = sorted(tasks)
    return document


def _hoist(part: Any, schemas: dict[str, Any]) -> None:
    """Move definitions that lie within ``part`` to the components, where references find them."""
    if isinstance(part, list):
        for each in part:
            _hoist(each, schemas)
    if not isinstance(part, dict):
        return
    definitions = part.pop("$defs", {})
    for each in part.values():
        _hoist(each, schemas)
    for each in _parts(part):
        _refer(each)
    for name, definition in definitions.items():
        for each in _parts(definition):
            _refer(each)
        if schemas.setdefault(name, definition) != definition:
            raise ValueError(f"two schemas are called {name!r}")


def _refer(part: dict[str, Any]) -> None:
    reference = part.get("$ref")
    if isinstance(reference, str) and reference.startswith(DEFINITIONS):
        part["$ref"] = COMPONENTS + reference.removeprefix(DEFINITIONS)


def _bounded(part: dict[str, Any], settings: Settings) -> None:
    """Make one schema as strict as what it describes."""
    if part.get("type") == "integer":
        for name in BOUNDS:
            if isinstance(part.get(name), float):  # FastAPI makes a float of each
                part[name] = min(int(part[name]), INT64 - 1)
    if "patternProperties" in part and part.get("type") == "object":
        part.setdefault("additionalProperties", False)
    if part.get("additionalProperties") is False:
        for name, field in part.get("properties", {}).items():
            _sized(name, field, settings)


def _sized(name: str, field: dict[str, Any], settings: Settings) -> None:
    """Bound a field of a body by the settings, which no type can know."""
    for branch in (field, *field.get("anyOf", ()), *field.get("oneOf", ())):
        if branch.get("type") == "array" and name in TEXTS:
            branch.setdefault("maxItems", settings.max_texts)
        is_text = branch.get("pattern", READABLE["pattern"]) == READABLE["pattern"]
        if branch.get("type") == "string" and name in TEXTS | PROMPTS and is_text:
            branch.setdefault("maxLength", settings.max_prompt_bytes)


def _without_empty_answer(part: dict[str, Any]) -> None:
    """FastAPI adds an answer in JSON, of any shape, to what a route that only streams answers."""
    content = part.get("content")
    if isinstance(content, dict) and content.get("application/json") == {"schema": {}}:
        del content["application/json"]


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within ``value``, itself among them; not what is only an example."""
    pending: list[Any] = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            yield each
            pending.extend(inner for name, inner in each.items() if name not in EXAMPLES)
        elif isinstance(each, list):
            pending.extend(each)
