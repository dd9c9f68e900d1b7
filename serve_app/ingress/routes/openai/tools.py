"""``tools`` and ``tool_choice``: which functions a model may, or has to, call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from deployments.seam.generation import Grammar, TokenAlternative
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.openai.call_scanner import ToolCallFormat
from serve_app.ingress.validation.fields import OBJECT, TEXT, TEXT_OR_OBJECT, Body
from serve_app.ingress.validation.schema_text import SchemaText

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


def function_tool(
    name: str, description: str | None, parameters: dict[str, Any] | None, strict: bool | None
) -> dict[str, Any]:
    """The chat's tool of a function that another API describes by these fields."""
    function = {
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": strict,
    }
    return {"type": "function", "function": function}


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


def calling(
    tools: Sequence[Tool], choice: ToolChoice, written: ToolCallFormat, schemas: SchemaText
) -> Grammar | None:
    """The grammar of a text that calls a function, where a call has to be one of ``tools``.

    A call that is required, or of a named function, is all of the text. Otherwise text is free, and
    calls are held to their schemas if any of ``tools`` is strict. The alternatives are in the order
    of :func:`chosen`.
    """
    free = choice in ("none", "auto")
    if free and not any(tool.function.strict for tool in tools):
        return None
    return Grammar(
        "alternatives",
        before=written.opening,
        after="}" + written.closing,
        triggered=free,
        alternatives=tuple(
            _call(tools[index].function, index, written, schemas) for index in chosen(tools, choice)
        ),
    )


def chosen(tools: Sequence[Tool], choice: ToolChoice) -> list[int]:
    """Which of ``tools`` a call may be of."""
    named = choice.function.name if isinstance(choice, NamedTool) else None
    return [i for i, tool in enumerate(tools) if named in (None, tool.function.name)]


def parameters_of(index: int) -> str:
    """The field with the schema of a tool's arguments."""
    return f"tools.{index}.function.parameters"


def _call(
    function: Function, index: int, written: ToolCallFormat, schemas: SchemaText
) -> TokenAlternative:
    name = json.dumps(function.name)
    before = f"{{{json.dumps(written.name)}: {name}, {json.dumps(written.arguments)}: "
    parameters = function.parameters or NO_ARGUMENTS
    source = schemas.of(parameters, ("tools", index, "function", "parameters"))
    given = parameters.get("type")
    if given == "object" or (given is None and "$ref" in parameters):
        return TokenAlternative(before, source)
    if given is not None and not (isinstance(given, list) and "object" in given):
        message = "The arguments of a function are an object, and so must be the schema's type."
        raise ValidationFailed(message, field=parameters_of(index))
    # An object even where the schema says of no type, or of several: of equal keys the last counts.
    return TokenAlternative(before, source.rstrip().removesuffix("}") + ',"type":"object"}')
