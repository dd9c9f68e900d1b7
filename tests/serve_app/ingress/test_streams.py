"""Streams of events: framing, heartbeat, and a source that is closed however the reader leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from serve_app.ingress import streams
from serve_app.ingress.errors import ServiceError, Unavailable
from serve_app.ingress.streams import HEARTBEAT, EventStream, event, message
from tests.serve_app.ingress.stream_clients import NEVER_S, SCOPE, Client
from tests.serve_app.local_handle import happens


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


async def test_a_heartbeat_comes_while_nothing_else_does_and_nothing_is_lost_by_it(
    source: Source,
) -> None:
    client = Client()
    stream = EventStream(source.chunks(), 0.001, source.stop)
    serving = asyncio.ensure_future(stream(SCOPE, client.receive, client.send))
    for _ in range(3):
        client.chunk.clear()
        await happens(client.chunk)
    source.queue.put_nowait(b"a")
    source.queue.put_nowait(None)
    await serving
    bodies = [message["body"] for message in client.got[1:]]
    assert bodies[:3] == [HEARTBEAT] * 3
    assert [body for body in bodies if body != HEARTBEAT] == [b"a", b""]
    assert bodies[-1] == b""


async def test_no_heartbeat_comes_between_chunks_that_are_there(source: Source) -> None:
    for _ in range(50):
        source.queue.put_nowait(b"a")
    source.queue.put_nowait(None)
    client = Client()
    await EventStream(source.chunks(), NEVER_S, source.stop)(SCOPE, client.receive, client.send)
    assert [message["body"] for message in client.got[1:]] == [b"a"] * 50 + [b""]


async def test_no_heartbeat_comes_after_the_end(source: Source) -> None:
    source.queue.put_nowait(None)
    client = Client()
    await EventStream(source.chunks(), 0.0, source.stop)(SCOPE, client.receive, client.send)
    sent = len(client.got)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(client.got) == sent
    assert client.got[-1]["more_body"] is False


async def test_a_source_that_breaks_breaks_the_stream() -> None:
    client = Client()
    stream = EventStream(broken_after(b"a", LookupError("inside")), NEVER_S, lambda: None)
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}}
    with pytest.raises(LookupError, match="inside"):
        await stream(scope, client.receive, client.send)
    assert [message.get("body") for message in client.got] == [None, b"a"]


async def test_a_client_that_leaves_at_a_heartbeat_closes_the_source(source: Source) -> None:
    client = Client()
    stream = EventStream(source.chunks(), 0.001, source.stop)
    serving = asyncio.ensure_future(stream(SCOPE, client.receive, client.send))
    await happens(client.chunk)
    client.left.set()
    await happens(source.stopped)
    await serving


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

    chunks = [
        chunk async for chunk in streams.with_failure_event(broken_after(b"one", error), failed)
    ]
    assert chunks[0] == b"one"
    assert len(chunks) == 2
    assert b"secret" not in chunks[1]
    assert chunks[1].startswith(b"service_unavailable" if isinstance(error, Unavailable) else b"i")
