"""Reads a stream to its end, however it ends, and compares it with an undisturbed one."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from bench.chaos.requests import StreamRequest

VOLATILE = {
    *("id", "item_id", "call_id", "request_id", "created", "created_at", "completed_at"),
    *("timestamp", "execution_time", "system_fingerprint", "user_id"),
}
"""Fields that differ between two answers to the same request."""

LAST_EVENTS = frozenset({"result", "message_stop", "response.completed", "response.incomplete"})
ERROR_EVENTS = frozenset({"error", "response.failed"})


class Ending(StrEnum):
    """How a stream ended: with its last event, with an error, by its connection, or silently.

    A stream that stands still until the client gives up is silent, too.
    """

    WHOLE = "whole"
    REFUSED = "error"
    CUT = "cut"
    SILENT = "silent"


@dataclass(frozen=True)
class Refusal:
    """An error answer: its status, and the kind of error that the service's own envelope names."""

    status: int
    error_type: str


@dataclass
class StreamAnswer:
    """What came of one stream: its events by choice, without what differs every time.

    ``allowed`` is the refusal that a fault may earn this stream, and ``refusal`` the one it got.
    """

    request: StreamRequest
    allowed: Refusal | None = None
    refusal: Refusal | None = None
    events: dict[int, list[str]] = field(default_factory=dict)
    ending: Ending | None = None
    detail: str = ""
    ended_at: float = 0.0
    is_over: bool = False

    @property
    def count(self) -> int:
        return sum(map(len, self.events.values()))

    def take(self, name: str, data: str) -> None:
        """Add an event. ``name`` is empty where the surface names none."""
        if data == "[DONE]":
            self.is_over = True
            return
        content = json.loads(data)
        if name in ERROR_EVENTS or (isinstance(content, dict) and content.get("error")):
            self.ending, self.detail = Ending.REFUSED, data[:300]
            return
        self.is_over |= name in LAST_EVENTS or bool(content.get("generated_text"))
        choices = content.get("choices") or [{}]
        choice = choices[0].get("index", 0)
        self.events.setdefault(choice, []).append(json.dumps(settled(content), sort_keys=True))

    @property
    def is_lost(self) -> bool:
        """Whether it ended with an error, other than the one allowed, or with its connection."""
        if self.ending is Ending.REFUSED:
            return self.allowed is None or self.refusal != self.allowed
        return self.ending is Ending.CUT

    def same_as(self, whole: StreamAnswer) -> bool:
        return self.ending == whole.ending and self.events == whole.events

    def begins(self, whole: StreamAnswer) -> bool:
        """Whether every event is that of ``whole`` in its place."""
        return all(
            whole.events.get(choice, [])[: len(events)] == events
            for choice, events in self.events.items()
        )


def settled(content: Any) -> Any:
    """``content`` without volatile fields; a fractional number, which may be rounded in another
    way in another batch, is only said to be one."""
    if isinstance(content, dict):
        return {key: settled(each) for key, each in content.items() if key not in VOLATILE}
    if isinstance(content, list):
        return [settled(each) for each in content]
    return "a number" if isinstance(content, float) else content


def refusal(status: int, body: str) -> Refusal | None:
    """The refusal of an error answer; ``None`` if its body is not the service's own envelope."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if not isinstance(content, dict) or content.get("success") is not False:
        return None
    return Refusal(status, str(content.get("error_type")))


async def read(client: httpx.AsyncClient, answer: StreamAnswer) -> None:
    """Send the request and read until the stream is over."""
    request = answer.request
    try:
        async with client.stream("POST", request.path, json=request.body) as response:
            if response.status_code != 200:
                text = (await response.aread()).decode(errors="replace")
                answer.ending, answer.detail = Ending.REFUSED, f"{response.status_code} {text}"
                answer.refusal = refusal(response.status_code, text)
                return
            if response.headers["content-type"].startswith("text/event-stream"):
                await _take_events(response, answer)
            else:
                answer.take("result", (await response.aread()).decode())
                answer.is_over = True
        answer.ending = answer.ending or (Ending.WHOLE if answer.is_over else Ending.SILENT)
    except httpx.TimeoutException as error:
        answer.ending, answer.detail = Ending.SILENT, repr(error)
    except httpx.TransportError as error:
        answer.ending, answer.detail = Ending.CUT, repr(error)
    finally:
        answer.ended_at = time.monotonic()


async def _take_events(response: httpx.Response, answer: StreamAnswer) -> None:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event:"):
            name = line.partition(":")[2].strip()
        elif line.startswith("data:"):
            answer.take(name, line.partition(":")[2].strip())
        elif not line:
            name = ""
