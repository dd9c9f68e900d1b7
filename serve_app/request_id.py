"""``X-Request-ID``: echoed when the client sends one, made otherwise."""

from __future__ import annotations

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-request-id"
USABLE = re.compile(r"[\x21-\x7e]{1,128}")
"""Printable, no spaces, bounded: safe in a header, in a log line and in an SSE event."""


def request_id_of(scope: Scope) -> str:
    """The request's id, which :class:`RequestIds` put there before anything else ran."""
    return str(scope["state"]["request_id"])


def unusable_request_id(scope: Scope) -> bool:
    """Whether the client sent an id that cannot be used as one."""
    return not USABLE.fullmatch(Headers(scope=scope).get(HEADER, "unset"))


class RequestIds:
    """ASGI middleware that gives every HTTP request an id and, with ``echo``, its answer too.

    Under Serve ``echo`` is off: Serve itself puts the id, the client's or one it made, on the
    request and on the answer, and a second header would only repeat it.
    """

    def __init__(self, app: ASGIApp, *, echo: bool) -> None:
        self.app = app
        self.echo = echo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if USABLE.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id if self.echo else send)
