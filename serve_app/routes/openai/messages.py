"""The messages of a chat: what was said, which tools were called, and what they answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from deployments.seam import ChatMessage, ToolCall
from serve_app.errors import ValidationFailed
from serve_app.fields import LIST, TEXT, TEXT_OR_LIST, Body
from serve_app.parsing import parse
from serve_app.routes.openai.tools import FunctionName

CallId = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class TextPart(Body):
    type: Literal["text"]
    text: str


Parts = Annotated[list[TextPart], Field(min_length=1, max_length=2048, fail_fast=True)]
Content = Annotated[Annotated[str, TEXT] | Annotated[Parts, LIST], TEXT_OR_LIST]


class CalledFunction(Body):
    name: FunctionName
    arguments: str

    @property
    def is_readable(self) -> bool:
        """Whether the arguments are a JSON object. They are parsed to see it: bound them first."""
        try:
            return isinstance(parse(self.arguments), dict)
        except ValueError:
            return False


class Call(Body):
    id: CallId
    type: Literal["function"]
    function: CalledFunction


class Message(Body):
    """One turn. Content is text, whole or in parts; images are not read by these models.

    Fields of an assistant's message that are null in every answer are taken back as they came.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    tool_calls: Annotated[list[Call], Field(min_length=1, max_length=128)] | None = None
    tool_call_id: CallId | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Message:
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant's message has tool_calls")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError("a tool's message has a tool_call_id, and no other has")
        if self.content is None and not self.tool_calls:
            raise ValueError("content is required, unless there are tool_calls")
        return self

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content)

    @property
    def written(self) -> str:
        """Everything of it that becomes part of the prompt."""
        return self.text + "".join(call.function.arguments for call in self.tool_calls or ())

    def plain(self) -> ChatMessage:
        """Developer messages are what later OpenAI models call system messages."""
        calls = tuple(
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in self.tool_calls or ()
        )
        role = "system" if self.role == "developer" else self.role
        return ChatMessage(role, self.text, calls, self.tool_call_id)


Messages = Annotated[list[Message], Field(min_length=1, max_length=2048, fail_fast=True)]


def check_answers(messages: Sequence[Message]) -> None:
    """Every call has readable arguments; every tool's message answers a call made before it."""
    made: set[str] = set()
    for index, message in enumerate(messages):
        for place, call in enumerate(message.tool_calls or ()):
            if not call.function.is_readable:
                raise ValidationFailed(
                    "expected a JSON object as text",
                    field=f"messages.{index}.tool_calls.{place}.function.arguments",
                )
            made.add(call.id)
        if message.tool_call_id is not None and message.tool_call_id not in made:
            raise ValidationFailed(
                f"no message before it has a call {message.tool_call_id[:64]!r}",
                field=f"messages.{index}.tool_call_id",
            )
