"""Middleware that records every inference request, from its first byte to the answer's last."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.ingress.caller import admitted_key
from serve_app.ingress.errors import TooManyRequests, error_type_of
from serve_app.ingress.front.exchange import has_room
from serve_app.ingress.front.key_ring import KeyRing
from serve_app.ingress.metering.key_use import key_samples
from serve_app.ingress.metering.metering import Metering
from serve_app.ingress.metering.purposes import Purposes
from serve_app.ingress.metering.record import RequestRecord
from serve_app.ingress.metering.request_log import Ending, RequestLog
from serve_app.ingress.streams import FailureChunk

STATE_KEY = "metering"
NO_SUCH_METHOD = 405
TIMELINE = b"x-timeline"
EVENT_STREAM = b"text/event-stream"


def record_of(scope: Scope) -> RequestRecord | None:
    """The record of a request that is metered."""
    record: RequestRecord | None = scope.get("state", {}).get(STATE_KEY)
    return record


class MeteringMiddleware:
    """ASGI middleware: counts every inference request once, however it ends.

    A request succeeds when the whole answer was sent with a status below 400 and without an error
    event at its end. If the client leaves earlier, it counts as an error and as cancelled.
    Where the front has no room for an answer, the client gets a 429, and the request counts as one.
    """

    def __init__(
        self,
        app: ASGIApp,
        metering: Metering,
        purposes: Purposes,
        log: RequestLog,
        keys: KeyRing | None,
    ) -> None:
        self.app = app
        self.metering = metering
        self.purposes = purposes
        self.log = log
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        purpose = None
        if scope["type"] == "http":
            purpose = self.purposes.of(scope["method"], scope["path"])
        if purpose is None:
            await self.app(scope, receive, send)
            return
        record = RequestRecord(purpose.task, fixed=purpose.fixed)
        if any(name == TIMELINE and value == b"1" for name, value in scope["headers"]):
            record.keep_timeline()
        scope.setdefault("state", {})[STATE_KEY] = record
        answer = _Answer(record, scope, self.metering, self.log, self.keys, receive, send)
        try:
            await self.app(scope, answer.receive, answer.send)
        finally:
            answer.ended()


class _Answer:
    """Passes one request and its answer on, and counts their bytes."""

    def __init__(
        self,
        record: RequestRecord,
        scope: Scope,
        metering: Metering,
        log: RequestLog,
        keys: KeyRing | None,
        receive: Receive,
        send: Send,
    ) -> None:
        self._record = record
        self._scope = scope
        self._metering = metering
        self._log = log
        self._keys = keys
        self._receive = receive
        self._send = send
        self._status: int | None = None
        self._stream_error: str | None = None
        self._is_stream = False
        """Of events, and with a timeline at its end."""
        self._closed = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._record.input_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            room = has_room(self._scope, message)
            self._status = message["status"] if room else TooManyRequests.status
            message = self._with_timeline(message)
        elif message["type"] == "http.response.body":
            self._count(message)
            if self._is_stream and not message.get("more_body", False):
                message = self._with_trailing_timeline(message)
        await self._send(message)

    def _with_timeline(self, start: Message) -> Message:
        """The start of an answer, with its timeline if that is known by now: a stream's is not."""
        timeline = self._record.timeline
        if timeline is None:
            return start
        headers = list(start.get("headers", ()))
        kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
        self._is_stream = kind.startswith(EVENT_STREAM)
        if self._is_stream:
            return start
        return {**start, "headers": [*headers, (b"server-timing", timeline.server_timing())]}

    def _with_trailing_timeline(self, last: Message) -> Message:
        """The end of a stream, with its timeline in a comment, which clients pass over."""
        assert self._record.timeline is not None
        comment = b": timeline " + self._record.timeline.server_timing() + b"\n\n"
        return {**last, "body": last.get("body", b"") + comment}

    def ended(self) -> None:
        """The application has returned. An answer that is not complete by now was cut off."""
        if self._closed:
            return
        if self._status is None and not _is_cancelled():
            self._close(reason=error_type_of(500))
        else:
            self._close(cancelled=True)

    def _count(self, message: Message) -> None:
        body = message.get("body", b"")
        self._record.output_bytes += len(body)
        if isinstance(body, FailureChunk):
            self._stream_error = body.error_type
        if not message.get("more_body", False):
            status = self._status or 500
            self._close(reason=error_type_of(status) if status >= 400 else self._stream_error)

    def _close(self, *, reason: str | None = None, cancelled: bool = False) -> None:
        """Close the record, before the last byte is sent, so that its reader finds it counted."""
        if self._closed:
            return
        self._closed = True
        if self._record.discarded or self._status == NO_SUCH_METHOD:
            return
        if not is_routed(self._scope, self._scope["app"]):
            return
        success = reason is None and not cancelled
        samples, finished = self._record.close(success=success, reason=reason, cancelled=cancelled)
        key = admitted_key(self._scope)
        if key is not None:
            tokens = self._record.token_counts
            samples += key_samples(key, tokens, success=success)
            if self._keys is not None:
                self._keys.used(key, tokens.prompt + tokens.completion)
        self._metering.record(samples, finished)
        ending = Ending(self._status, reason, cancelled)
        self._log.write(self._scope, self._record, finished, ending)


def _is_cancelled() -> bool:
    """Whether the request's task is being cancelled, as Serve does when the client is gone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_routed(scope: Scope, app: Any) -> bool:
    """Whether there is a route for the request, which may have been refused before routing."""
    if "endpoint" in scope:
        return True
    routes: list[Any] = app.router.routes
    return any(route.matches(scope)[0] is Match.FULL for route in routes)
