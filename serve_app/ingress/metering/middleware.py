"""Opens an account for every request for inference, and closes it with the answer's last byte."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.ingress.errors import error_type_of
from serve_app.ingress.metering.metering import Metering
from serve_app.ingress.metering.purposes import Purposes
from serve_app.ingress.metering.record import RequestRecord
from serve_app.ingress.streams import FailureChunk

KEY = "account"
NO_SUCH_METHOD = 405


def record_of(scope: Scope) -> RequestRecord | None:
    """The request's account; ``None`` where none is kept."""
    account: RequestRecord | None = scope.get("state", {}).get(KEY)
    return account


class MeteringMiddleware:
    """ASGI middleware: every request for inference is counted once, however it ends.

    A request succeeds when the whole of an answer below 400 has been sent, and no error event ended
    it. A client that leaves before is counted as an error, and as cancelled.
    """

    def __init__(self, app: ASGIApp, metering: Metering, purposes: Purposes) -> None:
        self.app = app
        self.metering = metering
        self.purposes = purposes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        purpose = None
        if scope["type"] == "http":
            purpose = self.purposes.of(scope["method"], scope["path"])
        if purpose is None:
            await self.app(scope, receive, send)
            return
        account = RequestRecord(purpose.task, fixed=purpose.fixed)
        scope.setdefault("state", {})[KEY] = account
        answer = _Answer(account, scope, self.metering, receive, send)
        try:
            await self.app(scope, answer.receive, answer.send)
        finally:
            answer.ended()


class _Answer:
    """Watches one request and its answer go by."""

    def __init__(
        self, account: RequestRecord, scope: Scope, metering: Metering, receive: Receive, send: Send
    ) -> None:
        self._account = account
        self._scope = scope
        self._metering = metering
        self._receive = receive
        self._send = send
        self._status: int | None = None
        self._broke: str | None = None
        self._closed = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._account.input_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "http.response.body":
            self._note(message)
        await self._send(message)

    def ended(self) -> None:
        """The application has returned: an answer that is not complete was cut off."""
        if self._closed:
            return
        if self._status is None and not _leaving():
            self._close(reason=error_type_of(500))
        else:
            self._close(cancelled=True)

    def _note(self, message: Message) -> None:
        body = message.get("body", b"")
        self._account.output_bytes += len(body)
        if isinstance(body, FailureChunk):
            self._broke = body.error_type
        if not message.get("more_body", False):
            status = self._status or 500
            self._close(reason=error_type_of(status) if status >= 400 else self._broke)

    def _close(self, *, reason: str | None = None, cancelled: bool = False) -> None:
        """Before the last byte goes: who has the whole answer finds it counted."""
        if self._closed:
            return
        self._closed = True
        if self._status == NO_SUCH_METHOD or not is_routed(self._scope, self._scope["app"]):
            return
        success = reason is None and not cancelled
        self._metering.note(
            *self._account.close(success=success, reason=reason, cancelled=cancelled)
        )


def _leaving() -> bool:
    """Whether the request's task is being cancelled, as Serve does when the client is gone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_routed(scope: Scope, app: Any) -> bool:
    """Whether there is such a route; what was refused before routing is looked up now."""
    if "endpoint" in scope:
        return True
    routes: list[Any] = app.router.routes
    return any(route.matches(scope)[0] is Match.FULL for route in routes)
