"""Streams of events: framing, heartbeat, and a source that is closed however the reader leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from starlette.types import Message

from serve_app import streams
from serve_app.errors import ServiceError, Unavailable
from serve_app.streams import HEARTBEAT, EventStream, event, message, with_heartbeat
from tests.serve_app.local_handle import PATIENCE_S, happens

SCOPE = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}}
NEVER_S = 3600.0


class Source:
    """Chunks that come when the test lets them, and what became of their generator."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.stopped = asyncio.Event()
        self.waiting = asyncio.Event()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            self.waiting.set()
            while (chunk := await self.queue.get()) is not None:
                yield chunk
        finally:
            self.stop()

    def stop(self) -> None:
        self.stopped.set()


@pytest.fixture
def source() -> Source:
    return Source()


def test_an_event_is_a_name_a_line_of_data_and_a_blank_line() -> None:
    assert event("token", {"text_delta": "a"}) == b'event: token\ndata: {"text_delta":"a"}\n\n'
    assert message({"n": 1}) == b'data: {"n":1}\n\n'


def test_line_breaks_in_data_do_not_break_the_frame() -> None:
    framed = event("token", {"text_delta": "a\n\nevent: result\r\u2028"})
    assert framed.count(b"\n") == 3
    assert b"\r" not in framed


def test_a_heartbeat_is_a_comment_that_clients_pass_over() -> None:
    assert HEARTBEAT.startswith(b":")
    assert HEARTBEAT.endswith(b"\n\n")


async def test_chunks_come_as_they_are_and_the_end_ends(source: Source) -> None:
    for chunk in (b"a", b"b", None):
        source.queue.put_nowait(chunk)
    assert [chunk async for chunk in with_heartbeat(source.chunks(), NEVER_S)] == [b"a", b"b"]
    assert source.stopped.is_set()


async def test_a_heartbeat_comes_while_nothing_else_does_and_nothing_is_lost_by_it(
    source: Source,
) -> None:
    stream = with_heartbeat(source.chunks(), 0.001)
    assert [await anext(stream) for _ in range(3)] == [HEARTBEAT] * 3
    source.queue.put_nowait(b"a")
    source.queue.put_nowait(None)
    rest = [chunk async for chunk in stream]
    assert [chunk for chunk in rest if chunk != HEARTBEAT] == [b"a"]


async def test_no_heartbeat_comes_between_chunks_that_are_there(source: Source) -> None:
    for _ in range(50):
        source.queue.put_nowait(b"a")
    source.queue.put_nowait(None)
    chunks = [chunk async for chunk in with_heartbeat(source.chunks(), NEVER_S)]
    assert chunks == [b"a"] * 50


async def test_a_source_that_breaks_breaks_the_stream() -> None:
    async def breaking() -> AsyncGenerator[bytes, None]:
        yield b"a"
        raise LookupError("inside")

    stream = with_heartbeat(breaking(), NEVER_S)
    assert await anext(stream) == b"a"
    with pytest.raises(LookupError, match="inside"):
        await anext(stream)


async def test_a_reader_that_leaves_closes_the_source(source: Source) -> None:
    source.queue.put_nowait(b"a")
    async with aclosing(with_heartbeat(source.chunks(), NEVER_S)) as stream:
        assert await anext(stream) == b"a"
        assert not source.stopped.is_set()
    assert source.stopped.is_set()


async def test_a_reader_that_leaves_at_a_heartbeat_closes_the_source(source: Source) -> None:
    async with (
        asyncio.timeout(PATIENCE_S),
        aclosing(with_heartbeat(source.chunks(), 0.001)) as stream,
    ):
        assert await anext(stream) == HEARTBEAT
    assert source.stopped.is_set()


async def test_a_reader_that_is_cancelled_while_it_waits_closes_the_source(
    source: Source,
) -> None:
    async def read() -> bytes:
        return await anext(with_heartbeat(source.chunks(), NEVER_S))

    reading = asyncio.ensure_future(read())
    await happens(source.waiting)
    reading.cancel()
    await happens(source.stopped)
    with pytest.raises(asyncio.CancelledError):
        await reading


class Client:
    """The other end of an ASGI connection: what it got, and a way to leave."""

    def __init__(self, *, gone: bool = False) -> None:
        self.got: list[Message] = []
        self.chunk = asyncio.Event()
        self.left = asyncio.Event()
        if gone:
            self.left.set()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.got.append(message)
        if message.get("body"):
            self.chunk.set()


async def test_a_stream_is_whole_and_says_that_it_is_one(source: Source) -> None:
    for chunk in (b"a", b"b", None):
        source.queue.put_nowait(chunk)
    client = Client()
    await EventStream(source.chunks(), NEVER_S, source.stop)(SCOPE, client.receive, client.send)
    start, *rest = client.got
    headers = dict(start["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-cache"
    assert headers[b"x-accel-buffering"] == b"no"
    assert [message["body"] for message in rest] == [b"a", b"b", b""]


async def test_a_client_that_leaves_stops_the_source(source: Source) -> None:
    source.queue.put_nowait(b"a")
    client = Client()
    stream = EventStream(source.chunks(), NEVER_S, source.stop)
    serving = asyncio.ensure_future(stream(SCOPE, client.receive, client.send))
    await happens(client.chunk)
    assert not source.stopped.is_set()
    client.left.set()
    await happens(source.stopped)
    await serving


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_client_that_left_before_the_first_chunk_stops_the_source(
    source: Source, spec_version: str
) -> None:
    """Nothing has run yet that could clean up after itself."""
    client = Client(gone=True)

    async def refuse(message: Message) -> None:
        raise OSError("the connection is closed")

    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": spec_version}}
    stream = EventStream(source.chunks(), NEVER_S, source.stop)
    serving = asyncio.ensure_future(stream(scope, client.receive, refuse))
    await happens(source.stopped)
    await asyncio.wait({serving})
    assert not source.waiting.is_set()
    serving.exception()


async def test_a_server_that_gives_up_before_the_first_chunk_stops_the_source(
    source: Source,
) -> None:
    client = Client()
    started = asyncio.Event()

    async def slow(message: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    stream = EventStream(source.chunks(), NEVER_S, source.stop)
    serving = asyncio.ensure_future(stream(SCOPE, client.receive, slow))
    await happens(started)
    serving.cancel()
    await happens(source.stopped)
    with pytest.raises(asyncio.CancelledError):
        await serving


async def broken_after(chunk: bytes, error: Exception) -> AsyncGenerator[bytes, None]:
    yield chunk
    raise error


@pytest.mark.parametrize("error", [Unavailable("gone"), RuntimeError("secret detail")])
async def test_a_stream_that_breaks_says_so_once_and_shows_no_internals(error: Exception) -> None:
    def failed(shown: ServiceError) -> bytes:
        return f"{shown.error_type} {shown.message}".encode()

    chunks = [chunk async for chunk in streams.ending(broken_after(b"one", error), failed)]
    assert chunks[0] == b"one"
    assert len(chunks) == 2
    assert b"secret" not in chunks[1]
    assert chunks[1].startswith(b"service_unavailable" if isinstance(error, Unavailable) else b"i")
