"""What is refused before a route looks at it: bodies over the limit, and encoded ones."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.errors import PayloadTooLarge, UnsupportedMediaType, answer
from serve_app.request_id import request_id_of

DRAIN_S = 10.0
DRAIN = 4
"""How many times the limit is read and thrown away, so that an honest client that sends too much
reads the 413 instead of a broken connection."""


class BodyLimit:
    """ASGI middleware: at most ``limit`` bytes of body, by its declared length and as it arrives.

    Starlette's own limiter answers in plain text; this one keeps the service's error envelope.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self.limit:
            if int(declared) <= DRAIN * self.limit:
                await _drain(receive, DRAIN * self.limit)
            await self._refuse(scope, receive, send)
            return
        answered = Answered(send)
        await self.app(scope, self._counting(receive, answered), answered)

    def _counting(self, receive: Receive, answered: Answered) -> Receive:
        read = 0

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limit and not answered.begun:
                await _drain(receive, DRAIN * self.limit - read)
                await asyncio.sleep(0)  # a stream that answers without having read begins now
                if not answered.begun:
                    raise HTTPException(413, self._message())
            return message

        return counting

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = PayloadTooLarge(self._message(), details={"limit_bytes": self.limit})
        response = answer(error, scope["path"], request_id_of(scope))
        await response(scope, receive, send)

    def _message(self) -> str:
        return f"The body is larger than the limit of {self.limit} bytes."


class Answered:
    """``send``, and whether an answer has begun: it is then too late to refuse the body.

    Where no route wanted it, Starlette reads it beside a stream, to learn when the client leaves.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


class PlainBodies:
    """ASGI middleware: a body with a content coding is refused before anybody reads it.

    None is inflated: what is small as it arrives may be anything behind that.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = _content_encoding(scope) if scope["type"] == "http" else ""
        if not given:
            await self.app(scope, receive, send)
            return
        await _drain(receive, self.limit)
        error = UnsupportedMediaType(
            f"Content-Encoding must be identity or left out, not {given[:100]!r}.",
            headers={"Accept-Encoding": "identity"},
        )
        await answer(error, scope["path"], request_id_of(scope))(scope, receive, send)


def _content_encoding(scope: Scope) -> str:
    """The header's value; empty where it names no coding but ``identity`` (RFC 9110, 8.4), or where
    there is no body."""
    headers = Headers(scope=scope)
    given = ", ".join(headers.getlist("content-encoding"))
    codings = {each.strip().lower() for each in given.split(",")}
    if not codings - {"", "identity"}:
        return ""
    there = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    return given if there else ""


async def _drain(receive: Receive, most: int) -> None:
    """Read and throw away ``most`` bytes, as far as they come in time."""
    read = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while read <= most:
                message = await receive()
                read += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
