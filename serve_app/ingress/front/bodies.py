"""Reads request bodies whole before the application is called, within limits of size and time.

Backpressure: bodies beyond the memory for all of them get a 429.
A request whose body is still arriving takes no place in Serve's queue. A body over the limit is
read a little further and discarded, so that a client that is still sending reads the answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import Receive

from configs.settings import Settings
from serve_app.ingress.errors import (
    PayloadTooLarge,
    RequestTimeout,
    ServiceError,
    TooManyRequests,
    UnsupportedMediaType,
)
from serve_app.ingress.front.headers import RequestHeaders

DRAIN_TIMEOUT_S = 10.0
DRAIN_FACTOR = 4
"""Up to four times the limit is read and discarded, so that a client that is still sending gets the
413 and not a connection reset."""


class BodyReader:
    """Reads the bodies of one replica's requests, and bounds the memory of all together."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.max_body_bytes
        self._max_inflight = settings.max_inflight_body_bytes
        self._timeout_s = settings.body_timeout_s
        self._inflight = 0

    def check(self, head: RequestHeaders) -> None:
        """Refuse by the headers alone. Raises :class:`ServiceError`.

        Compressed bodies are refused, since a small one may inflate to any size.
        """
        if head.declared is not None and head.declared > self._limit:
            raise self._too_large()
        encoding = head.seen.get(b"content-encoding", b"").decode("latin-1")
        if head.has_body and not _is_identity(encoding):
            raise UnsupportedMediaType(
                f"Content-Encoding must be identity or left out, not {encoding[:100]!r}.",
                headers={"Accept-Encoding": "identity"},
            )

    async def read(self, body: ReceivedBody) -> bytes | None:
        """The whole body; ``None`` where the client left. Raises :class:`ServiceError`."""
        content = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    chunk = await body.next()
                    if chunk is None:
                        return None
                    self._hold(body, len(chunk))
                    if body.at_end and not content:
                        return chunk
                    content += chunk
                    if body.at_end:
                        return bytes(content)
        except TimeoutError:
            raise RequestTimeout(
                f"The body did not arrive within {self._timeout_s:g} seconds."
            ) from None

    def release(self, body: ReceivedBody) -> None:
        """Free the memory of a body whose request is over, and of what was held beside it."""
        self._inflight -= body.held
        body.held = 0
        body.released = True

    def hold_more(self, body: ReceivedBody, size: int) -> None:
        """Count ``size`` bytes more for the request of ``body``, or fewer if negative.

        Raises :class:`TooManyRequests` when the memory of all requests does not have them.
        """
        if body.released:
            return
        self._check_room(size)
        body.held += size
        self._inflight += size

    async def drain(self, body: ReceivedBody, head: RequestHeaders) -> bool:
        """Discard the rest of a refused body, within bounds; whether its end was reached."""
        bound = DRAIN_FACTOR * self._limit
        waits = head.seen.get(b"expect", b"").lower() == b"100-continue" and not body.read
        if body.at_end or not (head.has_body or body.read):
            return True
        if waits or (head.declared or 0) > bound:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while not body.at_end and body.read <= bound:
                    if await body.next() is None:
                        return False
        return body.at_end

    def _hold(self, body: ReceivedBody, size: int) -> None:
        if body.held + size > self._limit:
            raise self._too_large()
        self._check_room(size)
        body.held += size
        self._inflight += size

    def _check_room(self, size: int) -> None:
        if self._inflight + size > self._max_inflight:
            raise TooManyRequests("The bodies of other requests take all memory for them.", 2)

    def _too_large(self) -> ServiceError:
        return PayloadTooLarge(
            f"The body is larger than the limit of {self._limit} bytes.",
            details={"limit_bytes": self._limit},
        )


class ReceivedBody:
    """A body as it arrives: ``read`` bytes so far, of which ``held`` count as memory in use."""

    __slots__ = ("_receive", "at_end", "held", "read", "released")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.read = 0
        self.held = 0
        self.at_end = False
        self.released = False

    async def next(self) -> bytes | None:
        """The next chunk; ``None`` when the client has left."""
        message = await self._receive()
        if message["type"] != "http.request":
            return None
        chunk: bytes = message.get("body", b"")
        self.read += len(chunk)
        self.at_end = not message.get("more_body", False)
        return chunk


def _is_identity(encoding: str) -> bool:
    """Whether the header names no coding but ``identity`` (RFC 9110, 8.4)."""
    return not {each.strip().lower() for each in encoding.split(",")} - {"", "identity"}
