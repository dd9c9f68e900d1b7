"""The tasks of an application as MCP describes tools: names, texts and JSON schemas."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from mcp_types import Tool, ToolAnnotations
from pydantic import TypeAdapter

from serve_app.ingress.documentation.rules import Schema
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.pipeline.steps import MODEL
from serve_app.ingress.routes.mcp.images import with_places
from serve_app.ingress.routes.native_router import NativeTask
from serve_app.ingress.validation.fields import FILE_PATTERNS, Answer, allow_image_url

RESULT = "result"
"""The key of a bare list in a tool's answer, which must be an object; MCP's own servers use it."""

UNSHOWN = frozenset({"allOf", "example", "title"})
"""Keywords of a body's schema that tools do not show. Language models' APIs take no ``allOf`` at
the top of a schema; validation checks its rules all the same."""

STREAM = "stream"
CONTENT: Schema = {
    "type": "object",
    "description": "MCP's image or audio content",
    "properties": {
        "type": {"enum": ["image", "audio"]},
        "data": {"type": "string", "description": "base64"},
        "mimeType": {"type": "string"},
    },
    "required": ["type", "data"],
}
SEED = "seed"
"""The argument of tasks that are random unless it is given."""


class Tools:
    """The tools of an application's tasks, which are described when they are first listed.

    ``image_urls``: images may be named by their URL.
    """

    def __init__(self, tasks: Mapping[str, NativeTask], *, image_urls: bool = False) -> None:
        self._tasks = tasks
        self._image_urls = image_urls

    def listed(self, cards: Iterable[ModelCard]) -> list[Tool]:
        """The tools of the tasks that a model of ``cards`` can do, each with its models' names."""
        cards = list(cards)
        found = []
        for tool in self._described:
            wanted = self._tasks[tool.name].model_tasks
            able = [card.name for card in cards if not set(wanted).isdisjoint(card.tasks)]
            if able:
                found.append(_with_models(tool, able))
        return found

    @cached_property
    def _described(self) -> list[Tool]:
        return [tool_of(task, image_urls=self._image_urls) for task in self._tasks.values()]


def tool_of(task: NativeTask, *, image_urls: bool = False) -> Tool:
    """A task's tool. Its title is the task's summary, and its description has the docstring too."""
    about = inspect.cleandoc(task.function.__doc__ or "").replace("``", "`")
    return Tool(
        name=task.name,
        title=task.summary,
        description="\n\n".join(filter(None, (task.summary and f"{task.summary}.", about))),
        input_schema=input_schema(task, image_urls=image_urls),
        output_schema=_answer_schema(task),
        annotations=ToolAnnotations(
            read_only_hint=True,
            destructive_hint=False,
            idempotent_hint=SEED not in task.body.model_fields,
            open_world_hint=False,
        ),
    )


def input_schema(task: NativeTask, *, image_urls: bool = False) -> Schema:
    """The JSON schema of a tool's arguments: that of the task's body.

    An answer is always whole, so ``stream`` is not shown. A file may also be content of MCP's.
    """
    schema = {k: v for k, v in task.body.model_json_schema().items() if k not in UNSHOWN}
    fields = {name: field for name, field in schema["properties"].items() if name != STREAM}
    if image_urls:
        for field in fields.values():
            allow_image_url(field)
    return {**schema, "properties": {name: _field(field) for name, field in fields.items()}}


def _answer_schema(task: NativeTask) -> Schema | None:
    schema = output_schema(task.answer)
    return with_places(schema, task.images) if schema and task.images else schema


def output_schema(answer: Any) -> Schema | None:
    """The JSON schema of a tool's structured answer: an object of the type ``answer``.

    Of a type with lists each is within an object, under ``RESULT``.
    """
    if answer is None:
        return None
    schema = TypeAdapter[Any](answer).json_schema()
    definitions = schema.pop("$defs", {})
    if "anyOf" in schema:
        branches = [_in_object(branch) for branch in schema["anyOf"]]
        schema = {"type": "object", "anyOf": branches}
    else:
        schema = _in_object(schema)
    return {**schema, **({"$defs": definitions} if definitions else {})}


def _in_object(schema: Schema) -> Schema:
    if schema.get("type") != "array":
        return schema
    around = Answer.model_json_schema()
    return {
        "type": "object",
        "properties": {RESULT: schema, **around["properties"]},
        "required": [RESULT, *around["required"]],
    }


def _field(field: Schema) -> Schema:
    shown = {keyword: value for keyword, value in field.items() if keyword != "title"}
    if shown.get("pattern") not in FILE_PATTERNS:
        return shown
    about = shown.pop("description")
    return {"anyOf": [shown, CONTENT], "description": about}


def _with_models(tool: Tool, names: Iterable[str]) -> Tool:
    fields = tool.input_schema["properties"]
    if MODEL not in fields:
        return tool
    about = f"one of: {', '.join(names)}; a default where it is left out"
    named = {**fields, MODEL: {**fields[MODEL], "description": about}}
    return tool.model_copy(update={"input_schema": {**tool.input_schema, "properties": named}})


def as_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments for a task's body: content of MCP's gives way to its base64."""
    return {name: _data(value) for name, value in given.items()}


def _data(value: Any) -> Any:
    match value:
        case {"type": "image" | "audio", "data": str(data)}:
            return data
    return value
