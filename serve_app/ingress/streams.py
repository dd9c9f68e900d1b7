"""Streamed answers as server-sent events, with heartbeats, and an error event if a stream breaks.

The format is that of the HTML standard, section "server-sent events".
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, Protocol, TypeAlias, TypeVar

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from serve_app.ingress.errors import InternalError, ServiceError

logger = logging.getLogger(__name__)

HEARTBEAT = b": heartbeat\n\n"
Comment: TypeAlias = Callable[[], Awaitable[bytes]]
"""Makes the comment line of a stream that waits, with the empty line behind it."""

MAX_COMMENT_S = 0.2
"""How long making a comment may delay it. After that a heartbeat is sent in its place."""

SEPARATORS = re.compile(b"\xc2\x85|\xe2\x80[\xa8\xa9]")
"""U+0085, U+2028 and U+2029 in UTF-8. JSON may have them, but many clients end a line there."""


def event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\n" + message(data)


def message(data: Mapping[str, Any]) -> bytes:
    return b"data: " + one_line(data) + b"\n\n"


def one_line(data: Any) -> bytes:
    """``data`` as JSON that every reader takes for one line, Python's ``splitlines`` included.

    orjson itself escapes the separators that are control characters.
    """
    made = orjson.dumps(data)
    if made.isascii():  # most tokens are, and this is far cheaper than the search
        return made
    return SEPARATORS.sub(_escaped, made)


def _escaped(separator: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(separator[0].decode())


async def heartbeat() -> bytes:
    """The comment of a stream that is silent, whatever it waits for."""
    return HEARTBEAT


class FailureChunk(bytes):
    """Last chunk of a failed stream, or the body of an answer with status 200 that is an error.

    It carries the error's type, which metering counts.
    """

    error_type: str

    @classmethod
    def of(cls, content: bytes, error: ServiceError) -> FailureChunk:
        chunk = cls(content)
        chunk.error_type = error.error_type
        return chunk


class EventStream(StreamingResponse):
    """A streamed answer that closes its source when the client leaves.

    After ``heartbeat_s`` seconds without a chunk a ``comment`` line is sent, since proxies and
    clients close idle connections. ``stop`` ends the source of ``chunks`` in any case: a generator
    that was never started, because the client left before, runs no ``finally``.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        heartbeat_s: float,
        stop: Callable[[], None],
        comment: Comment = heartbeat,
    ) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        self._source = chunks
        self._heartbeat_s = heartbeat_s
        self._comment = comment
        self._sent_at = 0.0
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
            self._sent_at = loop.time()
            heartbeat = loop.create_task(self._beat(send, loop))
            try:
                async for chunk in self._source:
                    self._sent_at = loop.time()
                    await send(_body(chunk))
            finally:
                heartbeat.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _beat(self, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for the stream: a ``wait_for`` around each chunk would create a task each."""
        with suppress(OSError):  # the client is gone, as sending the next chunk finds out
            while True:
                sent_at = self._sent_at
                idle_s = loop.time() - sent_at
                if idle_s < self._heartbeat_s:
                    await asyncio.sleep(self._heartbeat_s - idle_s)
                    continue
                comment = await self._comment()
                if self._sent_at == sent_at:  # no chunk was sent meanwhile
                    self._sent_at = loop.time()
                    await send(_body(comment))


def _body(chunk: bytes) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


class StreamSource(Protocol):
    """The source of a stream. ``close`` may be called at any time, and more than once."""

    def close(self) -> None: ...


S = TypeVar("S", bound=StreamSource)


async def begin_stream(
    opening: Coroutine[Any, Any, S],
    chunks: Callable[[S], AsyncGenerator[bytes, None]],
    failed: Callable[[ServiceError], bytes],
    heartbeat_s: float,
    waiting: Comment = heartbeat,
) -> EventStream:
    """Start an answer with the ``chunks`` of the source that ``opening`` returns.

    A failure of ``opening`` is raised, so that it has its own status. If ``opening`` takes longer
    than ``heartbeat_s``, the answer starts with the comment that ``waiting`` makes, such as
    ``: loading 40 %``, because proxies and clients give up on a silent server. From then on a
    failure is the last event, which ``failed`` makes. If the client leaves meanwhile, ``opening``
    is cancelled and its source closed.
    """
    task = asyncio.ensure_future(opening)

    def stop() -> None:
        task.cancel()
        task.add_done_callback(_close)

    async def comment() -> bytes:
        if task.done():
            return HEARTBEAT
        try:
            async with asyncio.timeout(MAX_COMMENT_S):
                return await waiting()
        except TimeoutError:
            return HEARTBEAT
        except Exception:  # what a stream waits for must not end it
            logger.exception("the comment of a waiting stream could not be made")
            return HEARTBEAT

    try:
        await asyncio.wait({task}, timeout=heartbeat_s)
        source = with_failure_event(
            chunks(task.result()) if task.done() else _late(task, chunks, comment), failed
        )
    except BaseException:
        stop()
        raise
    return EventStream(with_failure_event(source, failed), heartbeat_s, stop, comment)


async def _late(
    task: asyncio.Task[S],
    chunks: Callable[[S], AsyncGenerator[bytes, None]],
    comment: Comment,
) -> AsyncGenerator[bytes, None]:
    report = asyncio.ensure_future(comment())
    try:
        await asyncio.wait({task, report}, return_when=asyncio.FIRST_COMPLETED)
        if report.done():
            yield report.result()
    finally:
        report.cancel()
    async with aclosing(chunks(await task)) as source:
        async for chunk in source:
            yield chunk


def _close(task: asyncio.Task[S]) -> None:
    """Close the source. Reading the exception keeps asyncio from logging it as never retrieved."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def with_failure_event(
    chunks: AsyncGenerator[bytes, None], failed: Callable[[ServiceError], bytes]
) -> AsyncGenerator[bytes, None]:
    """``chunks``, and an error event at the end if their source fails."""
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    except ServiceError as error:
        yield FailureChunk.of(failed(error), error)
    except Exception:  # no exception handler can answer once a stream has begun
        logger.exception("a stream broke")
        internal = InternalError()
        yield FailureChunk.of(failed(internal), internal)
