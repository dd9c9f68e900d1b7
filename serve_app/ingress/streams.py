"""Token events as server-sent events: framing, heartbeat, and an end that always comes.

Framing follows the HTML standard's "server-sent events" section.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, Protocol, TypeVar

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from serve_app.ingress.errors import InternalError, ServiceError

logger = logging.getLogger(__name__)

HEARTBEAT = b": heartbeat\n\n"
SEPARATORS = re.compile(b"\xc2\x85|\xe2\x80[\xa8\xa9]")
"""U+0085, U+2028 and U+2029 in UTF-8. JSON may hold them raw, but many clients end a line there."""


def event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\n" + message(data)


def message(data: Mapping[str, Any]) -> bytes:
    return b"data: " + one_line(data) + b"\n\n"


def one_line(data: Any) -> bytes:
    """``data`` as JSON that is one line by every reader's rule, Python's ``splitlines`` included.

    The separators that are control characters are escaped by orjson itself.
    """
    made = orjson.dumps(data)
    if made.isascii():  # true of most tokens, and far cheaper than the search
        return made
    return SEPARATORS.sub(_escaped, made)


def _escaped(separator: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(separator[0].decode())


class FailureChunk(bytes):
    """The chunk that ends a stream that broke: on the way out it says so to whoever watches."""

    error_type: str

    @classmethod
    def of(cls, chunk: bytes, error: ServiceError) -> FailureChunk:
        words = cls(chunk)
        words.error_type = error.error_type
        return words


class EventStream(StreamingResponse):
    """A streamed answer that closes its source as soon as nobody reads it any more.

    Whenever no chunk came for ``heartbeat_s`` seconds a comment line goes out, for proxies and
    clients close connections on which nothing moves. ``stop`` ends what feeds ``chunks``, however
    little of it was read: a generator that a client left before its first chunk never started, and
    has no ``finally`` to run.
    """

    media_type = "text/event-stream"

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], heartbeat_s: float, stop: Callable[[], None]
    ) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        self._source = chunks
        self._heartbeat_s = heartbeat_s
        self._moved = 0.0
        self._stop = stop
        super().__init__(chunks, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stop()

    async def stream_response(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        start = {"type": "http.response.start", "status": self.status_code}
        async with aclosing(self._source):
            await send({**start, "headers": self.raw_headers})
            self._moved = loop.time()
            heart = loop.create_task(self._beat(send, loop))
            try:
                async for chunk in self._source:
                    self._moved = loop.time()
                    await send(_body(chunk))
            finally:
                heart.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _beat(self, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        """Beside the chunks, and not around each of them: a task a chunk costs more than it."""
        with suppress(OSError):  # the client is gone, and the chunks' own sending finds that out
            while True:
                still_s = loop.time() - self._moved
                if still_s < self._heartbeat_s:
                    await asyncio.sleep(self._heartbeat_s - still_s)
                else:
                    self._moved = loop.time()
                    await send(_body(HEARTBEAT))


def _body(chunk: bytes) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


class Source(Protocol):
    """What feeds a stream. ``close`` may be called at any time, and more than once."""

    def close(self) -> None: ...


S = TypeVar("S", bound=Source)


async def begin_stream(
    opening: Coroutine[Any, Any, S],
    chunks: Callable[[S], AsyncGenerator[bytes, None]],
    failed: Callable[[ServiceError], bytes],
    heartbeat_s: float,
) -> EventStream:
    """A stream of ``chunks`` of what ``opening`` comes to, begun once there is something to send.

    A failure of ``opening`` is raised, so that it has a status of its own. When it takes longer
    than ``heartbeat_s`` the stream begins with a heartbeat, because proxies and clients give up on
    a silent server; from then on a failure is the stream's last event, made by ``failed``. If the
    client leaves meanwhile, ``opening`` is cancelled, and what it came to is closed.
    """
    task = asyncio.ensure_future(opening)

    def stop() -> None:
        task.cancel()
        task.add_done_callback(_close)

    try:
        await asyncio.wait({task}, timeout=heartbeat_s)
        source = ending(chunks(task.result()) if task.done() else _late(task, chunks), failed)
    except BaseException:
        stop()
        raise
    return EventStream(source, heartbeat_s, stop)


async def _late(
    task: asyncio.Task[S], chunks: Callable[[S], AsyncGenerator[bytes, None]]
) -> AsyncGenerator[bytes, None]:
    yield HEARTBEAT
    async with aclosing(chunks(await task)) as source:
        async for chunk in source:
            yield chunk


def _close(task: asyncio.Task[S]) -> None:
    """Also marks a failure that nobody is left to see as seen, or asyncio would log it."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def ending(
    chunks: AsyncGenerator[bytes, None], failed: Callable[[ServiceError], bytes]
) -> AsyncGenerator[bytes, None]:
    """``chunks``, and when what makes them breaks, the one event that says so."""
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    except ServiceError as error:
        yield FailureChunk.of(failed(error), error)
    except Exception:  # a stream that has begun is beyond the reach of every handler
        logger.exception("a stream broke")
        unforeseen = InternalError()
        yield FailureChunk.of(failed(unforeseen), unforeseen)
