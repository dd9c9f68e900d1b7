"""The body of ``POST /v1/responses``, and the chat that it stands for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from serve_app.ingress.documentation.rules import OBJECT as JSON_OBJECT
from serve_app.ingress.documentation.rules import TRUE, when
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.openai.response_format import BY_SCHEMA, SchemaName
from serve_app.ingress.routes.openai.responses.items import Items, messages_of
from serve_app.ingress.routes.openai.tools import MOST_TOOLS, FunctionName, function_tool
from serve_app.ingress.routes.translated_chat import FieldNames
from serve_app.ingress.validation.effects import NoEffect, NoEffectMark, Repeated
from serve_app.ingress.validation.fields import (
    LIST,
    OBJECT,
    TEXT,
    TEXT_OR_LIST,
    TEXT_OR_OBJECT,
    Body,
    Count,
    ModelName,
    Temperature,
    Text,
    TokenCount,
    TopLogprobs,
    TopP,
    example,
    ruled,
)

NAMES = FieldNames(
    (
        (r"messages(\.\d+(\.\w+)*)?", "input"),  # its items are not the messages
        ("max_completion_tokens", "max_output_tokens"),
        ("response_format", "text.format"),
        (r"(tools\.\d+)\.function", r"\1"),
    )
)
LOGPROBS = "message.output_text.logprobs"
Included: TypeAlias = Literal["message.output_text.logprobs", "reasoning.encrypted_content"]
FormatType: TypeAlias = Literal["text", "json_object", "json_schema"]


class FunctionTool(Body):
    """A function of the client's that the model may ask for."""

    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @property
    def chat_tool(self) -> dict[str, Any]:
        return function_tool(self.name, self.description, self.parameters, self.strict)


class ChosenFunction(Body):
    type: Literal["function"]
    name: FunctionName


class TextFormat(Body):
    """Text, any JSON object, or an instance of a JSON schema."""

    model_config = ConfigDict(
        json_schema_extra=ruled(when({"type": BY_SCHEMA}, needs={"schema": JSON_OBJECT}))
    )

    type: FormatType
    name: Repeated[SchemaName | None] = None
    description: Repeated[str | None] = None
    definition: dict[str, Any] | None = Field(None, alias="schema")
    strict: Repeated[bool | None] = None

    @model_validator(mode="after")
    def _with_schema(self) -> TextFormat:
        if self.type == "json_schema" and self.definition is None:
            raise ValueError("type json_schema needs a schema")
        return self

    @property
    def chat_format(self) -> dict[str, Any]:
        if self.type != "json_schema":
            return {"type": self.type}
        schema = {"name": self.name or "answer", "schema": self.definition}
        return {"type": self.type, "json_schema": schema}


class TextConfig(Body):
    format: TextFormat | None = None
    verbosity: NoEffect[Literal["medium"] | None] = None


class Reasoning(Body):
    """No model here reasons apart from its text."""

    effort: Literal["none"] | None = None
    summary: Literal["auto"] | None = None


class ResponseStreamOptions(Body):
    include_obfuscation: NoEffect[Literal[False] | None] = None


class ResponsesBody(Body):
    """A chat to be continued by one answer. Nothing is stored: send the whole chat each time."""

    model_config = example(
        when({"stream_options": {"type": "object"}}, needs={"stream": TRUE}),
        input="What is the capital of France?",
        temperature=0,
    )

    input: Annotated[Annotated[Text, TEXT] | Annotated[Items, LIST], TEXT_OR_LIST]
    model: ModelName | None = None
    instructions: str | None = None
    max_output_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_logprobs: TopLogprobs | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MOST_TOOLS, fail_fast=True)] | None = None
    tool_choice: (
        Annotated[
            Annotated[Literal["none", "auto", "required"], TEXT]
            | Annotated[ChosenFunction, OBJECT],
            TEXT_OR_OBJECT,
        ]
        | None
    ) = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    truncation: Literal["auto", "disabled"] | None = Field(
        None, description="auto leaves out the oldest turns where the chat would not fit"
    )
    include: Annotated[list[Included], Field(max_length=16)] | None = Field(
        None, description="`reasoning.encrypted_content` has no effect"
    )
    ignore_eos: bool | None = Field(
        None, description="vLLM's: an end of sequence does not end the text, for load tests"
    )
    stream: bool | None = None
    stream_options: Annotated[
        ResponseStreamOptions | None, NoEffectMark("refused without stream")
    ] = None
    store: NoEffect[Literal[False] | None] = Field(None, description="nothing is stored here")
    previous_response_id: None = None
    conversation: None = None
    prompt: None = None
    background: NoEffect[Literal[False] | None] = None
    reasoning: NoEffect[Reasoning | None] = None
    max_tool_calls: NoEffect[Count | None] = Field(
        None, description="counts built-in tools; there are none here"
    )
    metadata: Repeated[Annotated[dict[str, str], Field(max_length=16)] | None] = None
    user: Repeated[str | None] = None
    safety_identifier: NoEffect[str | None] = None
    prompt_cache_key: NoEffect[str | None] = None
    prompt_cache_retention: NoEffect[Literal["in_memory", "24h"] | None] = None
    service_tier: NoEffect[Literal["auto", "default"] | None] = None

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ()) or bool(self.top_logprobs)

    @property
    def chat(self) -> dict[str, Any]:
        """The body of ``/v1/chat/completions`` that asks for the same.

        Raises ``ValidationFailed`` for an input of nothing but reasoning, which is no chat.
        """
        messages = [*self._instructed(), *self._messages()]
        if not messages:
            message = "input has only reasoning items: a message to answer is missing."
            raise ValidationFailed(message, field="input")
        given = {
            "model": self.model,
            "messages": messages,
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "logprobs": self.wants_logprobs or None,
            "top_logprobs": self.top_logprobs,
            "tools": [tool.chat_tool for tool in self.tools] if self.tools else None,
            "tool_choice": self._choice(),
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": self._format(),
            "ignore_eos": self.ignore_eos,
        }
        return {name: value for name, value in given.items() if value is not None}

    def _instructed(self) -> list[dict[str, Any]]:
        return [{"role": "system", "content": self.instructions}] if self.instructions else []

    def _messages(self) -> list[dict[str, Any]]:
        if isinstance(self.input, str):
            return [{"role": "user", "content": self.input}]
        return messages_of(self.input)

    def _choice(self) -> Any:
        if isinstance(self.tool_choice, ChosenFunction):
            return {"type": "function", "function": {"name": self.tool_choice.name}}
        return self.tool_choice

    def _format(self) -> dict[str, Any] | None:
        wanted = self.text and self.text.format
        return wanted.chat_format if wanted else None
