"""The blocks of Anthropic's messages, and the chat's messages that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from serve_app.ingress.routes.openai.messages import CallId
from serve_app.ingress.routes.openai.tools import FunctionName
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import LIST, TEXT, TEXT_OR_LIST, Body

CacheControl: TypeAlias = NoEffect[
    Annotated[dict[str, Any], Field(max_length=16, description="prefixes are shared anyway")] | None
]
MAX_BLOCKS = 2048


class TextBlock(Body):
    type: Literal["text"]
    text: str
    cache_control: CacheControl = None
    citations: NoEffect[Annotated[list[Any], Field(max_length=0)] | None] = None

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, block: Any) -> Any:
        """One error for a block of another type, and not one for each of its fields."""
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(kind, str) or kind == "text":
            return block
        if kind == "image":
            raise ValueError("an image is a block of a user's message")
        if kind == "document":
            raise ValueError("chat models read no documents here")
        return {"type": kind, "text": ""}


class ImageSource(Body):
    """The file itself, in base64. Its format is read from it."""

    type: Literal["base64"]
    media_type: NoEffect[Literal["image/jpeg", "image/png", "image/gif", "image/webp"]]
    data: str

    @model_validator(mode="before")
    @classmethod
    def _file_itself(cls, source: Any) -> Any:
        """One error for an uploaded file, and not one for each field of a file in base64."""
        if isinstance(source, dict) and source.get("type") == "file":
            raise ValueError("this server stores no files; send the image in base64")
        return source


class LinkedImage(Body):
    """An image that the server fetches, where that is enabled."""

    type: Literal["url"]
    url: str = Field(description="http(s), if enabled")


def _kind_of_source(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    return "url[]" if kind == "url" else "[]"


Source = Annotated[
    Annotated[ImageSource, Tag("[]")] | Annotated[LinkedImage, Tag("url[]")],
    Discriminator(_kind_of_source),
]


class ImageBlock(Body):
    """An image, for the models that read images in chats."""

    type: Literal["image"]
    source: Source
    cache_control: CacheControl = None


class ToolUseBlock(Body):
    """A call that the model made earlier."""

    type: Literal["tool_use"]
    id: CallId
    name: FunctionName
    input: dict[str, Any]
    cache_control: CacheControl = None
    caller: NoEffect[dict[str, Any] | None] = None


TextBlocks: TypeAlias = Annotated[list[TextBlock], Field(max_length=MAX_BLOCKS, fail_fast=True)]
TextContent: TypeAlias = Annotated[Annotated[str, TEXT] | Annotated[TextBlocks, LIST], TEXT_OR_LIST]


class ToolResultBlock(Body):
    """What the client's function answered to a call. ``is_error`` has no effect: say it in text."""

    type: Literal["tool_result"]
    tool_use_id: CallId
    content: TextContent | None = None
    is_error: NoEffect[bool | None] = None
    cache_control: CacheControl = None


class ThinkingBlock(Body):
    """The thinking of another server's model, which has no effect."""

    type: NoEffect[Literal["thinking", "redacted_thinking"]]
    thinking: NoEffect[str | None] = None
    signature: NoEffect[str | None] = None
    data: NoEffect[str | None] = None


THINKING = ("thinking", "redacted_thinking")


def _kind(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    if kind in THINKING:
        return "thinking[]"
    return f"{kind}[]" if kind in ("image", "tool_use", "tool_result") else "[]"


Block = Annotated[
    Annotated[TextBlock, Tag("[]")]
    | Annotated[ImageBlock, Tag("image[]")]
    | Annotated[ToolUseBlock, Tag("tool_use[]")]
    | Annotated[ToolResultBlock, Tag("tool_result[]")]
    | Annotated[ThinkingBlock, Tag("thinking[]")],
    Discriminator(_kind),
]
Blocks: TypeAlias = Annotated[
    list[Block], Field(min_length=1, max_length=MAX_BLOCKS, fail_fast=True)
]


class MessageParam(Body):
    """One turn. A tool's results are in a user's turn, its calls in an assistant's."""

    role: Literal["user", "assistant"]
    content: Annotated[Annotated[str, TEXT] | Annotated[Blocks, LIST], TEXT_OR_LIST]

    @model_validator(mode="after")
    def _coherent(self) -> MessageParam:
        for block in self.content if isinstance(self.content, list) else ():
            if isinstance(block, ToolUseBlock) and self.role != "assistant":
                raise ValueError("only an assistant's message has tool_use blocks")
            if isinstance(block, ToolResultBlock) and self.role != "user":
                raise ValueError("only a user's message has tool_result blocks")
            if isinstance(block, ImageBlock) and self.role != "user":
                raise ValueError("only a user's message has images")
        return self

    def chat_messages(self) -> list[dict[str, Any]]:
        """The results of tools, each a message of its own; then the turn's parts and calls."""
        if isinstance(self.content, str):
            return [{"role": self.role, "content": self.content}]
        results = [_result(each) for each in self.content if isinstance(each, ToolResultBlock)]
        parts = [_part(each) for each in self.content if isinstance(each, TextBlock | ImageBlock)]
        calls = [_call(each) for each in self.content if isinstance(each, ToolUseBlock)]
        turn: dict[str, Any] = {"role": self.role, "content": parts or ""}
        if calls:
            turn |= {"content": turn["content"] or None, "tool_calls": calls}
        return [*results, turn] if parts or calls or not results else results


def text_of(content: str | Sequence[TextBlock] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(block.text for block in content)


def _part(block: TextBlock | ImageBlock) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    source = block.source
    if isinstance(source, LinkedImage):
        url = source.url
    else:
        url = f"data:{source.media_type};base64,{source.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _result(block: ToolResultBlock) -> dict[str, Any]:
    content = text_of(block.content)
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}


def _call(block: ToolUseBlock) -> dict[str, Any]:
    function = {"name": block.name, "arguments": block.input}
    return {"id": block.id, "type": "function", "function": function}
