"""Streams that begin before their source is open, with reports of how its model loads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from serve_app.ingress import streams
from serve_app.ingress.errors import ServiceError
from serve_app.ingress.streams import HEARTBEAT, begin_stream
from tests.serve_app.ingress.stream_clients import NEVER_S, SCOPE, Client
from tests.serve_app.local_handle import happens


class Opening:
    """Opens the source of a stream when the test lets it."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self) -> Opening:
        await self.opened.wait()
        return self

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        yield b"token"

    def close(self) -> None:
        """There is nothing to close."""


def failed(error: ServiceError) -> bytes:
    return b"failed: " + error.error_type.encode()


async def test_an_opened_stream_does_not_wait_for_the_report_of_its_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "MAX_COMMENT_S", NEVER_S)
    opening, client, asked = Opening(), Client(), asyncio.Event()

    async def silent() -> bytes:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    stream = await begin_stream(opening(), Opening.chunks, failed, 0.001, silent)
    serving = asyncio.ensure_future(stream(SCOPE, client.receive, client.send))
    await happens(asked)
    opening.opened.set()
    await happens(client.chunk)
    await serving
    assert [message["body"] for message in client.got[1:]] == [b"token", b""]


async def test_a_report_that_does_not_come_delays_no_heartbeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "MAX_COMMENT_S", 0.001)
    opening, client = Opening(), Client()

    async def silent() -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    stream = await begin_stream(opening(), Opening.chunks, failed, 0.001, silent)
    serving = asyncio.ensure_future(stream(SCOPE, client.receive, client.send))
    for _ in range(3):  # the first one begins the stream, the others are those of its timer
        client.chunk.clear()
        await happens(client.chunk)
    opening.opened.set()
    await serving
    bodies = [message["body"] for message in client.got[1:]]
    assert bodies[:3] == [HEARTBEAT] * 3
    assert [body for body in bodies if body != HEARTBEAT] == [b"token", b""]


async def test_a_report_that_fails_neither_ends_a_stream_nor_silences_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opening, client = Opening(), Client()

    async def broken() -> bytes:
        raise RuntimeError("no router")

    stream = await begin_stream(opening(), Opening.chunks, failed, 0.001, broken)
    serving = asyncio.ensure_future(stream(SCOPE, client.receive, client.send))
    for _ in range(3):
        client.chunk.clear()
        await happens(client.chunk)
    opening.opened.set()
    await serving
    bodies = [message["body"] for message in client.got[1:]]
    assert bodies[:3] == [HEARTBEAT] * 3
    assert [body for body in bodies if body != HEARTBEAT] == [b"token", b""]
    assert "no router" in caplog.text
