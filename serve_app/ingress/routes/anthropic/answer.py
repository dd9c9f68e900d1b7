"""Anthropic's message, whole and as the events of a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from deployments.seam.generation import GenerationResult, Token
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.errors import ServiceError
from serve_app.ingress.routes.anthropic.errors import anthropic_envelope
from serve_app.ingress.routes.openai.chat_answers import ChatPieces, ToolCallPolicy, whole_choice
from serve_app.ingress.streams import event

STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use"}


def message_object(
    request_id: str,
    model: str,
    content: list[dict[str, Any]],
    stop: dict[str, Any],
    input_tokens: int,
    output_tokens: int,
) -> dict[str, Any]:
    return {
        "id": f"msg_{request_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **stop,
        "usage": {
            "input_tokens": input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        },
    }


def stop_of(reason: str | None, stop_string: str | None) -> dict[str, Any]:
    """Why a message ended; of one that goes on, nothing."""
    word = None if reason is None else STOP_REASONS.get(reason, "end_turn")
    if word == "end_turn" and stop_string is not None:
        word = "stop_sequence"
    return {"stop_reason": word, "stop_sequence": stop_string if word == "stop_sequence" else None}


def whole_message(
    result: GenerationResult, calls: ToolCallPolicy | None, request_id: str, model: str
) -> dict[str, Any]:
    """The answer that is complete: its text, and its calls behind it."""
    (made,) = result.choices
    choice = whole_choice(0, made, calls)
    message = choice["message"]
    content = [tool_use(call) for call in message.get("tool_calls", ())]
    if message["content"] or not content:
        content.insert(0, {"type": "text", "text": message["content"] or ""})
    stop = stop_of(choice["finish_reason"], made.stop_string)
    return message_object(request_id, model, content, stop, result.prompt_tokens, made.tokens)


def tool_use(call: dict[str, Any], *, begun: bool = False) -> dict[str, Any]:
    """A call of a chat's answer; one that has ``begun`` shows no input yet."""
    given = b"{}" if begun else call["function"]["arguments"]
    name = call["function"]["name"]
    return {
        "type": "tool_use",
        "id": f"toolu_{call['id'].removeprefix('call_')}",
        "name": name,
        "input": orjson.Fragment(given),  # numbers as the model wrote them
    }


@dataclass(slots=True)
class MessageEvents:
    """Makes the events of one message. A text is one block that stays open while it grows."""

    request_id: str
    model: str
    calls: ToolCallPolicy | None
    index: int = 0
    is_open: bool = False

    async def of(self, stream: ChunkStream) -> AsyncGenerator[bytes, None]:
        """All events, from ``message_start`` to ``message_stop``."""
        pieces = ChatPieces(self.calls)
        stop, new_tokens, begun = stop_of("stop", None), 0, False
        async for chunk in stream:
            frames: list[bytes] = [] if begun else [self._started(chunk.prompt_tokens)]
            begun = True
            new_tokens += len(chunk.tokens)
            for token in chunk.tokens:
                for piece in pieces.of(token):
                    frames += self._of_piece(piece)
                    stop = _stop(piece, token) or stop
            yield b"".join(frames)
        yield b"".join(self._ended(stop, new_tokens))

    def failed(self, error: ServiceError) -> bytes:
        """The last event of a stream that broke; the clients raise their own exception of it."""
        return event("error", anthropic_envelope(error, self.request_id))

    def _started(self, prompt_tokens: int) -> bytes:
        nothing = stop_of(None, None)
        message = message_object(self.request_id, self.model, [], nothing, prompt_tokens, 0)
        return _event("message_start", message=message)

    def _of_piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        if text := piece["delta"].get("content"):
            if not self.is_open:
                yield self._opened({"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": text})
        for call in piece["delta"].get("tool_calls", ()):
            yield from self._closed()
            yield self._opened(tool_use(call, begun=True))
            arguments = call["function"]["arguments"]
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})
            yield from self._closed()

    def _opened(self, block: dict[str, Any]) -> bytes:
        self.is_open = True
        return _event("content_block_start", index=self.index, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self.index, delta=delta)

    def _closed(self) -> Iterator[bytes]:
        if self.is_open:
            yield _event("content_block_stop", index=self.index)
            self.index, self.is_open = self.index + 1, False

    def _ended(self, stop: dict[str, Any], new_tokens: int) -> Iterator[bytes]:
        if self.index == 0 and not self.is_open:
            yield self._opened({"type": "text", "text": ""})
        yield from self._closed()
        yield _event("message_delta", delta=stop, usage={"output_tokens": new_tokens})
        yield _event("message_stop")


def _stop(piece: dict[str, Any], token: Token) -> dict[str, Any] | None:
    reason = piece["finish_reason"]
    return None if reason is None else stop_of(reason, token.stop_string)


def _event(name: str, **content: Any) -> bytes:
    return event(name, {"type": name, **content})
