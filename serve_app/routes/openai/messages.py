"""The messages of a chat: what was said, which tools were called, and what they answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import from_json

from deployments.seam import ChatMessage, ToolCall
from serve_app.errors import ValidationFailed
from serve_app.fields import LIST, TEXT, TEXT_OR_LIST, Body
from serve_app.routes.openai.tools import FunctionName

CallId = Annotated[str, StringConstraints(min_length=1, max_length=256)]

NO_ARGUMENTS = "{}"


class TextPart(Body):
    type: Literal["text"]
    text: str


Parts = Annotated[list[TextPart], Field(min_length=1, max_length=2048, fail_fast=True)]
Content = Annotated[Annotated[str, TEXT] | Annotated[Parts, LIST], TEXT_OR_LIST]


class CalledFunction(Body):
    name: FunctionName
    arguments: str

    @field_validator("arguments", mode="before")
    @classmethod
    def _object(cls, given: Any) -> Any:
        """A JSON object as text, and an empty one for arguments that are none.

        A model that was cut off leaves such in a history, which would be refused from then on: so
        they count as no arguments, as in vLLM.
        """
        if isinstance(given, dict):
            return json.dumps(given, ensure_ascii=False)
        if not isinstance(given, str):
            return NO_ARGUMENTS if given is None else given
        try:
            value = from_json(given, allow_inf_nan=False)
        except ValueError:
            value = None
        return given if isinstance(value, dict) else NO_ARGUMENTS


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
    """Every tool's message answers a call that an assistant made before it."""
    made: set[str] = set()
    for index, message in enumerate(messages):
        made.update(call.id for call in message.tool_calls or ())
        if message.tool_call_id is not None and message.tool_call_id not in made:
            raise ValidationFailed(
                f"no message before it has a call {message.tool_call_id[:64]!r}",
                field=f"messages.{index}.tool_call_id",
            )
