"""The messages of a chat: texts, images, tool calls, and the answers of tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from deployments.seam.generation import ChatImage, ChatMessage, ToolCall
from serve_app.ingress.documentation.rules import EMPTY, NULL, when
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.openai.tools import FunctionName
from serve_app.ingress.validation.bounded_json import parse
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import LIST, TEXT, TEXT_OR_LIST, Body, ruled

CallId = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Name = Annotated[str, StringConstraints(max_length=256)]

NO_ARGUMENTS = "{}"


class TextPart(Body):
    """A part of a message. ``cache_control``, a hint for other servers' caches, has no effect."""

    type: Literal["text"]
    text: str
    cache_control: NoEffect[Annotated[dict[str, Any], Field(max_length=16)] | None] = None

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, part: Any) -> Any:
        """One error for a part of another type, and not one for each of its fields."""
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or kind == "text":
            return part
        if "image" in kind:
            raise ValueError("an image is a part of the type image_url here")
        return {"type": kind, "text": ""}  # its type alone is what is wrong with it


class ImageUrl(Body):
    url: str = Field(description="a data: URI in base64, or an http(s) URL if enabled")
    detail: NoEffect[Literal["auto", "low", "high"] | None] = None


class ImagePart(Body):
    """An image, for the models that read images in chats."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _kind(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    return "image_url[]" if kind == "image_url" else "[]"


Part = Annotated[
    Annotated[TextPart, Tag("[]")] | Annotated[ImagePart, Tag("image_url[]")], Discriminator(_kind)
]
Parts = Annotated[list[Part], Field(min_length=1, max_length=2048, fail_fast=True)]
Content = Annotated[Annotated[str, TEXT] | Annotated[Parts, LIST], TEXT_OR_LIST]


class CalledFunction(Body):
    """``parsed_arguments`` is what OpenAI's client makes of the arguments; it has no effect."""

    name: FunctionName
    arguments: str
    parsed_arguments: NoEffect[Any] = None

    @field_validator("arguments", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        """Some clients send the object itself, or nothing where there are no arguments."""
        if isinstance(given, dict):
            return json.dumps(given, ensure_ascii=False)
        return NO_ARGUMENTS if given is None else given

    @property
    def object(self) -> str:
        """The arguments as a JSON object in text. They are parsed to see it: bound them first.

        A model that was cut off leaves arguments in a history that are no object, and every later
        request would be refused for them: so they count as no arguments, as in vLLM.
        """
        try:
            value = parse(self.arguments)
        except ValueError:
            value = None
        return self.arguments if isinstance(value, dict) else NO_ARGUMENTS


class Call(Body):
    """``index`` is left of a call that came in a stream, and has no effect."""

    index: NoEffect[int | None] = None
    id: CallId
    type: Literal["function"]
    function: CalledFunction


TOOL, ASSISTANT = {"const": "tool"}, {"const": "assistant"}
RULES = (
    when({"role": TOOL}, needs={"tool_call_id": {"type": "string"}}),
    when({"role": {"not": TOOL}}, allows={"tool_call_id": NULL}),
    when({"role": {"not": ASSISTANT}}, {"content": {"not": NULL}}, {"tool_calls": EMPTY}),
)


class Message(Body):
    """One turn. Content is text, whole or in parts; a user's may have images.

    What assistants' messages of other servers carry besides is taken back as it came, and has no
    effect: a reasoning, what OpenAI's client parsed, and fields that are null or empty.
    """

    model_config = ConfigDict(json_schema_extra=ruled(*RULES))

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: Name | None = Field(None, description="who speaks, for chat templates that show it")
    tool_calls: Annotated[list[Call], Field(max_length=128)] | None = None
    tool_call_id: CallId | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: NoEffect[Annotated[list[Any], Field(max_length=0)] | None] = None
    reasoning: NoEffect[str | None] = None
    reasoning_content: NoEffect[str | None] = None
    parsed: NoEffect[Any] = None

    @model_validator(mode="after")
    def _coherent(self) -> Message:
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant's message has tool_calls")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError("a tool's message has a tool_call_id, and no other has")
        if self.content is None and self.role != "assistant":
            raise ValueError("content is required, but for an assistant's message")
        if self.role != "user" and any(self.images):
            raise ValueError("only a user's message has images")
        return self

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def images(self) -> Iterator[tuple[int, int, str]]:
        """Of each image the index of its part, how many characters of text are before it, and its
        URL."""
        characters = 0
        for index, part in enumerate(self.content if isinstance(self.content, list) else ()):
            if isinstance(part, ImagePart):
                yield index, characters, part.image_url.url
            else:
                characters += len(part.text)

    @property
    def written(self) -> str:
        """Everything of it that becomes part of the prompt."""
        calls = (
            part
            for call in self.tool_calls or ()
            for part in (call.id, call.function.name, call.function.arguments)
        )
        return "".join([self.name or "", self.tool_call_id or "", self.text, *calls])

    def plain(self, images: tuple[ChatImage, ...] = ()) -> ChatMessage:
        """Developer messages are what later OpenAI models call system messages."""
        calls = tuple(
            ToolCall(call.id, call.function.name, call.function.object)
            for call in self.tool_calls or ()
        )
        role = "system" if self.role == "developer" else self.role
        return ChatMessage(role, self.text, calls, self.tool_call_id, self.name or None, images)


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
