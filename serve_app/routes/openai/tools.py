"""``tools`` and ``tool_choice``: which functions a model may, or has to, call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from deployments.seam import Grammar
from serve_app.fields import OBJECT, TEXT, TEXT_OR_OBJECT, Body
from serve_app.tool_calls import CallFormat

FunctionName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
MOST_TOOLS = 128


class Function(Body):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="a JSON schema; none: no arguments")
    strict: bool | None = Field(None, description="the arguments always match the schema")


class Tool(Body):
    """A function of the client's that the model may ask for."""

    type: Literal["function"]
    function: Function

    def shown(self) -> str:
        """As chat templates show it to the model."""
        function: dict[str, Any] = {"name": self.function.name}
        if self.function.description is not None:
            function["description"] = self.function.description
        function["parameters"] = self.function.parameters or NO_ARGUMENTS
        return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


class NamedFunction(Body):
    name: FunctionName


class NamedTool(Body):
    type: Literal["function"]
    function: NamedFunction


Tools = Annotated[list[Tool], Field(max_length=MOST_TOOLS, fail_fast=True)]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], TEXT] | Annotated[NamedTool, OBJECT],
    TEXT_OR_OBJECT,
]

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def calling(tools: Sequence[Tool], choice: ToolChoice, written: CallFormat) -> Grammar | None:
    """The grammar of a text that calls a function, where a call has to be one of ``tools``.

    A call that is required, or of a named function, is all of the text. Otherwise text is free, and
    calls are held to their schemas if any of ``tools`` is strict.
    """
    free = choice in ("none", "auto")
    if free and not any(tool.function.strict for tool in tools):
        return None
    named = choice.function.name if isinstance(choice, NamedTool) else None
    chosen = [tool.function for tool in tools if named in (None, tool.function.name)]
    schema = _alternatives([_call(function, written) for function in chosen], written)
    source = json.dumps(schema, ensure_ascii=False)
    return Grammar("json_schema", source, written.opening, written.closing, triggered=free)


def _call(function: Function, written: CallFormat) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            written.name: {"const": function.name},
            written.arguments: function.parameters or NO_ARGUMENTS,
        },
        "required": [written.name, written.arguments],
        "additionalProperties": False,
    }


def _alternatives(calls: list[dict[str, Any]], written: CallFormat) -> dict[str, Any]:
    """One schema for all calls; references inside each go on meaning what they meant."""
    paths = [f"/anyOf/{i}" for i in range(len(calls))] if len(calls) > 1 else [""]
    moved = []
    for call, path in zip(calls, paths, strict=True):
        parameters = call["properties"][written.arguments]
        at = f"#{path}/properties/{written.arguments}"
        properties = {**call["properties"], written.arguments: _moved(parameters, at)}
        moved.append({**call, "properties": properties})
    return {"anyOf": moved} if len(moved) > 1 else moved[0]


def _moved(schema: Any, at: str) -> Any:
    """``schema`` with its own references changed for its new place ``at`` in a larger one."""
    if isinstance(schema, list):
        return [_moved(each, at) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, at) for key, value in schema.items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = at + reference.removeprefix("#").rstrip("/")
    return moved
