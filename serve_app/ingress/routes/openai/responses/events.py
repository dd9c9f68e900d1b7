"""The events of a streamed answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any

from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.errors import ServiceError
from serve_app.ingress.routes.openai.chat_answers import ChatPieces, ToolCallPolicy
from serve_app.ingress.routes.openai.errors import openai_envelope
from serve_app.ingress.routes.openai.responses.answer import (
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    call_item,
    ended,
    message_item,
    text_part,
)
from serve_app.ingress.streams import event


@dataclass(slots=True)
class ResponseEvents:
    """Makes the events of one answer, whose numbers go up.

    ``response`` is the answer as it begins. A text is one item that stays open while it grows; a
    call is one item that is complete at once.
    """

    response: dict[str, Any]
    calls: ToolCallPolicy | None
    output: list[dict[str, Any]] = field(default_factory=list)
    number: int = 0
    text: str | None = None
    logprobs: list[Any] = field(default_factory=list)

    async def of(self, stream: ChunkStream) -> AsyncGenerator[bytes, None]:
        """All events, from ``response.created`` to the one that ends the answer."""
        pieces, reason = ChatPieces(self.calls), "stop"
        prompt_tokens = new_tokens = 0
        begun = [self._event("created", self._whole()), self._event("in_progress", self._whole())]
        yield b"".join(begun)
        async for chunk in stream:
            prompt_tokens = chunk.prompt_tokens
            new_tokens += len(chunk.tokens)
            frames: list[bytes] = []
            for token in chunk.tokens:
                for piece in pieces.of(token):
                    reason = piece["finish_reason"] or reason
                    frames += self._of_piece(piece)
            if frames:
                yield b"".join(frames)
        yield b"".join(self._end(reason, prompt_tokens, new_tokens))

    def failed(self, error: ServiceError) -> bytes:
        """The event of an answer that broke."""
        told = openai_envelope(error)["error"]
        told = {"code": told["code"], "message": told["message"]}
        broken = {**self.response, "status": "failed", "error": told, "output": self.output}
        return self._event("failed", {"response": broken})

    def _of_piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        logprobs = piece["logprobs"]["content"] if piece["logprobs"] else []
        if content := piece["delta"].get("content"):
            yield from self._grown(content, logprobs)
        for call in piece["delta"].get("tool_calls", ()):
            yield from self._called(call)

    def _grown(self, delta: str, logprobs: list[Any]) -> Iterator[bytes]:
        if self.text is None:
            yield from self._opened()
        self.text = (self.text or "") + delta
        self.logprobs += logprobs
        yield self._event("output_text.delta", self._place(delta=delta, logprobs=logprobs))

    def _opened(self) -> Iterator[bytes]:
        self.text, self.logprobs = "", []
        item = self._message([], IN_PROGRESS)
        yield self._event("output_item.added", {"output_index": len(self.output), "item": item})
        yield self._event("content_part.added", self._place(part=text_part("", [])))

    def _closed(self, status: str) -> Iterator[bytes]:
        """The end of the text, if one is open."""
        if self.text is None:
            return
        part = text_part(self.text, self.logprobs)
        done = self._place(text=self.text, logprobs=self.logprobs)
        yield self._event("output_text.done", done)
        yield self._event("content_part.done", self._place(part=part))
        item = self._message([part], status)
        yield self._event("output_item.done", {"output_index": len(self.output), "item": item})
        self.output.append(item)
        self.text = None

    def _called(self, call: dict[str, Any]) -> Iterator[bytes]:
        yield from self._closed(COMPLETED)
        item, index = call_item(call), len(self.output)
        place = {"item_id": item["id"], "output_index": index}
        begun = call_item(call, begun=True)
        yield self._event("output_item.added", {"output_index": index, "item": begun})
        arguments = item["arguments"]
        yield self._event("function_call_arguments.delta", {**place, "delta": arguments})
        done = {**place, "arguments": arguments, "name": item["name"]}
        yield self._event("function_call_arguments.done", done)
        yield self._event("output_item.done", {"output_index": index, "item": item})
        self.output.append(item)

    def _end(self, reason: str, prompt_tokens: int, new_tokens: int) -> Iterator[bytes]:
        if self.text is None and not self.output:
            yield from self._opened()
        yield from self._closed(INCOMPLETE if reason == "length" else COMPLETED)
        response = ended(self.response, self.output, reason, prompt_tokens, new_tokens)
        yield self._event(response["status"], {"response": response})

    def _message(self, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
        return message_item(self.response["id"], len(self.output), content, status)

    def _place(self, **more: Any) -> dict[str, Any]:
        item_id = self._message([], IN_PROGRESS)["id"]
        return {"item_id": item_id, "output_index": len(self.output), "content_index": 0, **more}

    def _whole(self) -> dict[str, Any]:
        return {"response": self.response}

    def _event(self, name: str, content: dict[str, Any]) -> bytes:
        kind, number = f"response.{name}", self.number
        self.number += 1
        return event(kind, {"type": kind, "sequence_number": number, **content})
