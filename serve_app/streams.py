"""Token events as server-sent events: framing, heartbeat, and an end that always comes.

Framing follows the HTML standard's "server-sent events" section.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from serve_app.errors import InternalError, ServiceError

logger = logging.getLogger(__name__)

HEARTBEAT = b": heartbeat\n\n"


def event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\n" + message(data)


def message(data: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


class LastWords(bytes):
    """The chunk that ends a stream that broke: on the way out it says so to whoever watches."""

    error_type: str

    @classmethod
    def of(cls, chunk: bytes, error: ServiceError) -> LastWords:
        words = cls(chunk)
        words.error_type = error.error_type
        return words


class EventStream(StreamingResponse):
    """A streamed answer that closes its source as soon as nobody reads it any more.

    ``stop`` ends what feeds ``chunks``, however little of it was read: a generator that a client
    left before its first chunk never started, and has no ``finally`` to run.
    """

    media_type = "text/event-stream"

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], heartbeat_s: float, stop: Callable[[], None]
    ) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        self._source = with_heartbeat(chunks, heartbeat_s)
        self._stop = stop
        super().__init__(self._source, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stop()

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._source):
            await super().stream_response(send)


async def ending(
    chunks: AsyncGenerator[bytes, None], failed: Callable[[ServiceError], bytes]
) -> AsyncGenerator[bytes, None]:
    """``chunks``, and when what makes them breaks, the one event that says so."""
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    except ServiceError as error:
        yield LastWords.of(failed(error), error)
    except Exception:  # a stream that has begun is beyond the reach of every handler
        logger.exception("a stream broke")
        unforeseen = InternalError()
        yield LastWords.of(failed(unforeseen), unforeseen)


async def with_heartbeat(
    chunks: AsyncGenerator[bytes, None], every_s: float
) -> AsyncGenerator[bytes, None]:
    """``chunks``, with a comment line whenever none came for ``every_s`` seconds.

    Proxies and clients close connections on which nothing moves.
    """
    async with aclosing(chunks):
        iterator: AsyncIterator[bytes] = aiter(chunks)
        while True:
            upcoming = asyncio.ensure_future(anext(iterator))
            try:
                while not (await asyncio.wait({upcoming}, timeout=every_s))[0]:
                    yield HEARTBEAT
                chunk = upcoming.result()
            except StopAsyncIteration:
                return
            finally:
                if not upcoming.done():
                    upcoming.cancel()
                    await asyncio.wait({upcoming})
            yield chunk


EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "server-sent events", "content": {"text/event-stream": {}}}
}
"""OpenAPI's description of a streamed answer."""
