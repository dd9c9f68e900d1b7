"""The items of a response's ``input``, and the chat's messages that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from serve_app.ingress.routes.openai.messages import CallId
from serve_app.ingress.routes.openai.tools import FunctionName
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import LIST, TEXT, TEXT_OR_LIST, Body

Message: TypeAlias = dict[str, Any]
Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


class InputPart(Body):
    """A text, as a user's or as the model's own of an earlier answer."""

    type: NoEffect[Literal["input_text", "output_text", "text"]]
    text: str
    annotations: NoEffect[Annotated[list[Any], Field(max_length=0)] | None] = None
    logprobs: NoEffect[list[Any] | None] = None
    parsed: NoEffect[Any] = Field(None, description="what OpenAI's client parsed of it")

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, part: Any) -> Any:
        """One error for a part of another type, and not one for each of its fields."""
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or kind.endswith("text"):
            return part
        if "image" in kind:
            raise ValueError("an image is a part of the type input_image of a user's message")
        return {"type": kind, "text": ""}


class InputImage(Body):
    """An image, for the models that read images in chats."""

    type: Literal["input_image"]
    image_url: str = Field(description="a data: URI in base64, or an http(s) URL if enabled")
    detail: NoEffect[Literal["auto", "low", "high", "original"] | None] = None
    file_id: None = None


def _kind_of_part(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    return "input_image[]" if kind == "input_image" else "[]"


Texts = Annotated[list[InputPart], Field(max_length=2048, fail_fast=True)]
TextContent = Annotated[Annotated[str, TEXT] | Annotated[Texts, LIST], TEXT_OR_LIST]
Part = Annotated[
    Annotated[InputPart, Tag("[]")] | Annotated[InputImage, Tag("input_image[]")],
    Discriminator(_kind_of_part),
]
Parts = Annotated[list[Part], Field(max_length=2048, fail_fast=True)]
Content = Annotated[Annotated[str, TEXT] | Annotated[Parts, LIST], TEXT_OR_LIST]


class InputMessage(Body):
    """One turn. ``id``, ``status`` and ``phase`` are left of an earlier answer."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    id: NoEffect[str | None] = None
    status: NoEffect[Status | None] = None
    phase: NoEffect[str | None] = None


class InputCall(Body):
    """A call that the model made earlier."""

    type: Literal["function_call"]
    call_id: CallId
    name: FunctionName
    arguments: str
    id: NoEffect[str | None] = None
    status: NoEffect[Status | None] = None
    parsed_arguments: NoEffect[Any] = None


class InputCallOutput(Body):
    """What the client's function answered to a call."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: TextContent
    id: NoEffect[str | None] = None
    status: NoEffect[Status | None] = None


class InputReasoning(Body):
    """The reasoning of another server's model, which has no effect."""

    type: NoEffect[Literal["reasoning"]]
    id: NoEffect[str | None] = None
    summary: NoEffect[list[Any] | None] = None
    content: NoEffect[list[Any] | None] = None
    encrypted_content: NoEffect[str | None] = None
    status: NoEffect[Status | None] = None


def _kind(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    others = ("function_call", "function_call_output", "reasoning")  # the given kind may be a list
    return f"{kind}[]" if kind in others else "[]"


InputItem = Annotated[
    Annotated[InputMessage, Tag("[]")]
    | Annotated[InputCall, Tag("function_call[]")]
    | Annotated[InputCallOutput, Tag("function_call_output[]")]
    | Annotated[InputReasoning, Tag("reasoning[]")],
    Discriminator(_kind),
]
Items: TypeAlias = Annotated[list[InputItem], Field(min_length=1, fail_fast=True)]


def text_of(content: str | Sequence[InputPart]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _content(given: str | Sequence[InputPart | InputImage]) -> str | list[dict[str, Any]]:
    """A message's content as a chat's message has it."""
    if isinstance(given, str):
        return given
    return [_part(each) for each in given] or ""


def _part(part: InputPart | InputImage) -> dict[str, Any]:
    if isinstance(part, InputPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.image_url}}


def messages_of(items: Sequence[InputItem]) -> list[Message]:
    """The chat's messages. Calls that follow each other, or a text of the model's, are one turn."""
    messages: list[Message] = []
    for item in items:
        match item:
            case InputMessage():
                messages.append({"role": item.role, "content": _content(item.content)})
            case InputCall():
                _answering(messages).append(_call(item))
            case InputCallOutput():
                output = text_of(item.output)
                messages.append({"role": "tool", "tool_call_id": item.call_id, "content": output})
    return messages


def _answering(messages: list[Message]) -> list[dict[str, Any]]:
    """The calls of the assistant's turn that the messages end with."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    calls: list[dict[str, Any]] = messages[-1].setdefault("tool_calls", [])
    return calls


def _call(item: InputCall) -> dict[str, Any]:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}
