"""Completes FastAPI's OpenAPI document: short names, events of streams, bounds from settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from configs.settings import Settings
from serve_app.ingress.documentation.rules import READABLE
from serve_app.ingress.validation.fields import allow_image_url

DEFINITIONS = "#/$defs/"
COMPONENTS = "#/components/schemas/"
EXAMPLES = frozenset({"example", "examples", "default", "const", "enum"})
"""Keywords whose values are not schemas."""
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
STEPS = frozenset({"steps", "num_inference_steps"})
"""``TEXTS`` are fields that take a list of texts, ``PROMPTS`` those that take one, ``STEPS`` those
of an image's denoising."""


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, with a prefix where two APIs have the same."""
    name = route.name.removesuffix("_route")
    path = route.path_format
    if path.startswith("/v1/") and "openai" in route.tags:
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
    """OpenAPI's description of a streamed answer. ``events`` are models by event name.

    ``unnamed`` events have data only. With ``done`` the last event is the text ``[DONE]``.
    """
    named = [_event(name, model) for name, model in (events or {}).items()]
    named += [_event("", model) for model in unnamed]
    if done:
        named.append(_item("", {"type": "string", "const": "[DONE]"}))
    names = ", ".join([*(events or {}), *(model.__name__ for model in unnamed)])
    content = {
        # No type: where itemSchema is known, this describes the list of all events.
        "schema": {"description": f"server-sent events ({names}); itemSchema describes each"},
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
    """Make ``app.openapi()`` return the completed document, which is made once."""
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
    """Change and return ``document``, with what FastAPI leaves out.

    ``tasks`` are those that a graph's step may name.
    """
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    document.setdefault("servers", [{"url": "/"}])
    for part in _parts(document):
        _bounded(part, settings)
        _without_empty_answer(part)
        if settings.image_urls:
            allow_image_url(part)
    _hoist(document["paths"], schemas)
    if step := schemas.get("StepBody"):
        step["properties"]["task"]["enum"] = sorted(tasks)
    return document


def _hoist(part: Any, schemas: dict[str, Any]) -> None:
    """Move the definitions within ``part`` to the document's components."""
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
    """Make one schema as strict as the validation that it describes."""
    if part.get("type") == "integer":
        for name in BOUNDS:
            if isinstance(part.get(name), float):  # FastAPI makes a float of each
                part[name] = min(int(part[name]), INT64 - 1)
    if "patternProperties" in part and part.get("type") == "object":
        part.setdefault("additionalProperties", False)
    if part.get("additionalProperties") is False:
        fields = part.get("properties", {})
        for name, field in fields.items():
            _sized(name, field, settings)
        if "n" in fields and not STEPS.isdisjoint(fields):
            fields["n"]["maximum"] = settings.max_generated_images


def _sized(name: str, field: dict[str, Any], settings: Settings) -> None:
    """Add the bounds of the settings to a field of a body."""
    for branch in (field, *field.get("anyOf", ()), *field.get("oneOf", ())):
        if branch.get("type") == "array" and name in TEXTS:
            branch.setdefault("maxItems", settings.max_texts)
        is_text = branch.get("pattern", READABLE["pattern"]) == READABLE["pattern"]
        if branch.get("type") == "string" and name in TEXTS | PROMPTS and is_text:
            branch.setdefault("maxLength", settings.max_prompt_bytes)
        if branch.get("type") == "integer" and name in STEPS:
            branch["maximum"] = settings.max_denoising_steps


def _without_empty_answer(part: dict[str, Any]) -> None:
    """Delete the JSON answer of any shape that FastAPI adds to routes that only stream."""
    content = part.get("content")
    if isinstance(content, dict) and content.get("application/json") == {"schema": {}}:
        del content["application/json"]


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within ``value``, itself included, but not those within examples."""
    pending: list[Any] = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            yield each
            pending.extend(inner for name, inner in each.items() if name not in EXAMPLES)
        elif isinstance(each, list):
            pending.extend(each)
