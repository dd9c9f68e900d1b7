"""Reads a streamed answer as its bytes arrive: counts tokens and notes when they came."""

from typing import Any

import orjson

from serve_app.load.request_kinds import AnswerSize, BadAnswerError

MAX_LINE_BYTES = 2**20


class EventReader:
    """Counts the tokens of one stream of ``chat.completion.chunk`` or completion events.

    The server's ``usage`` counts where it sends one; otherwise each event with text is one token.
    """

    def __init__(self) -> None:
        self.first_s: float | None = None
        self.last_s = 0.0
        self.events = 0
        self._rest = b""
        self._usage: dict[str, Any] | None = None
        self._is_whole = False

    def feed(self, chunk: bytes, now_s: float) -> None:
        """Read bytes that arrived at ``now_s``. Raises ``BadAnswerError`` for an error event."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise BadAnswerError("a line without an end")
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip(), now_s)

    def size(self) -> AnswerSize:
        """The size of the ended stream. Raises ``BadAnswerError`` if it broke off."""
        if not self._is_whole:
            raise BadAnswerError("the stream broke off")
        usage = self._usage or {}
        return AnswerSize(
            usage.get("completion_tokens", self.events), usage.get("prompt_tokens", 0)
        )

    def _event(self, data: bytes, now_s: float) -> None:
        if data == b"[DONE]":
            self._is_whole = True
            return
        try:
            event = orjson.loads(data)
            if "error" in event:
                raise BadAnswerError("an error event in the stream")
            self._usage = event.get("usage") or self._usage
            for choice in event["choices"]:
                self._choice(choice, now_s)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise BadAnswerError(f"an event of another shape ({type(error).__name__})") from None

    def _choice(self, choice: Any, now_s: float) -> None:
        if choice.get("finish_reason"):
            self._is_whole = True
        if choice["delta"].get("content") if "delta" in choice else choice["text"]:
            self.events += 1
            self.last_s = now_s
            if self.first_s is None:
                self.first_s = now_s
