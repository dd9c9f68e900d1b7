"""The bodies of Anthropic's Messages API, and the chat that they stand for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.anthropic.blocks import (
    CacheControl,
    MessageParam,
    TextContent,
    text_of,
)
from serve_app.ingress.routes.openai.tools import MOST_TOOLS, FunctionName, function_tool
from serve_app.ingress.routes.translated_chat import FieldNames
from serve_app.ingress.validation.effects import NoEffect, NoEffectWithin
from serve_app.ingress.validation.fields import (
    MAX_STOPS,
    Body,
    ModelName,
    Stop,
    Temperature,
    TokenCount,
    TopK,
    TopP,
    example,
)

NAMES = FieldNames(
    (
        (r"messages(\.\d+(\.\w+)*)?", "messages"),  # its items are not the chat's
        ("max_completion_tokens", "max_tokens"),
        ("response_format", "output_config.format"),
        (r"(tools\.\d+)\.function\.parameters", r"\1.input_schema"),
        (r"(tools\.\d+)\.function", r"\1"),
    )
)


class AnthropicTool(Body):
    """A function of the client's that the model may ask for."""

    type: NoEffect[Literal["custom"] | None] = None
    name: FunctionName
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: CacheControl = None

    @property
    def chat_tool(self) -> dict[str, Any]:
        return function_tool(self.name, self.description, self.input_schema, self.strict)


AnthropicTools: TypeAlias = Annotated[
    list[AnthropicTool], Field(max_length=MOST_TOOLS, fail_fast=True)
]


class AnthropicToolChoice(Body):
    type: Literal["auto", "any", "tool", "none"]
    name: FunctionName | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _named(self) -> AnthropicToolChoice:
        if (self.type == "tool") != (self.name is not None):
            raise ValueError("name is given with type tool, and only then")
        return self

    @property
    def chat_choice(self) -> Any:
        if self.type == "tool":
            return {"type": "function", "function": {"name": self.name}}
        return "required" if self.type == "any" else self.type


class AnthropicFormat(Body):
    type: Literal["json_schema"]
    definition: dict[str, Any] = Field(alias="schema")


class OutputConfig(Body):
    format: AnthropicFormat | None = None


class Thinking(Body):
    """No model here thinks apart from its text."""

    type: Literal["disabled"]


class RequestMetadata(Body):
    user_id: str | None = None


class PromptBody(Body):
    """What becomes the prompt of a message."""

    messages: Annotated[list[MessageParam], Field(min_length=1, max_length=8192, fail_fast=True)]
    model: ModelName | None = None
    system: TextContent | None = None
    tools: AnthropicTools | None = None
    tool_choice: AnthropicToolChoice | None = None
    output_config: OutputConfig | None = None
    thinking: NoEffect[Thinking | None] = None
    cache_control: CacheControl = None

    def prompt(self) -> dict[str, Any]:
        """The fields of a chat that these fields stand for. Raises ``ValidationFailed``."""
        if self.messages[-1].role == "assistant":
            message = "The last message has to be a user's: an answer cannot be begun here."
            raise ValidationFailed(message, field="messages")
        system = text_of(self.system)
        turns = [turn for message in self.messages for turn in message.chat_messages()]
        given = {
            "model": self.model,
            "messages": [*([{"role": "system", "content": system}] if system else []), *turns],
            "tools": [tool.chat_tool for tool in self.tools] if self.tools else None,
            "tool_choice": self.tool_choice and self.tool_choice.chat_choice,
            "parallel_tool_calls": self._parallel(),
            "response_format": self._format(),
        }
        return {name: value for name, value in given.items() if value is not None}

    def _parallel(self) -> bool | None:
        given = self.tool_choice and self.tool_choice.disable_parallel_tool_use
        return None if given is None else not given

    def _format(self) -> dict[str, Any] | None:
        wanted = self.output_config and self.output_config.format
        if not wanted:
            return None
        schema = {"name": "answer", "schema": wanted.definition}
        return {"type": "json_schema", "json_schema": schema}


class MessagesBody(PromptBody):
    """A chat to be continued by one message of the assistant's."""

    model_config = example(
        max_tokens=32,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
    )

    max_tokens: TokenCount
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    stop_sequences: Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    stream: bool | None = None
    metadata: NoEffect[RequestMetadata | None] = None
    service_tier: NoEffect[Literal["auto", "standard_only"] | None] = None
    container: None = None
    mcp_servers: NoEffect[Annotated[list[Any], Field(max_length=0)] | None] = None

    def chat(self) -> dict[str, Any]:
        """The body of ``/v1/chat/completions`` that asks for the same."""
        given = {
            "max_completion_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "stop": self.stop_sequences or None,
        }
        return self.prompt() | {name: value for name, value in given.items() if value is not None}


class CountTokensBody(PromptBody):
    """A chat whose tokens are to be counted."""

    model_config = example(messages=[{"role": "user", "content": "Hi"}])

    tools: Annotated[AnthropicTools | None, NoEffectWithin(("strict",))] = None
    tool_choice: Annotated[
        AnthropicToolChoice | None, NoEffectWithin(("disable_parallel_tool_use",))
    ] = None
    output_config: NoEffect[OutputConfig | None] = None
