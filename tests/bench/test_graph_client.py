"""The bench's HTTP client notices faults of a stream, wherever its chunks are cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

import pytest

from bench.graph.client import (
    Address,
    BadStreamError,
    StreamSample,
    count_answers,
    read_stream,
    request,
)
from bench.graph.generation import STAMP_EVERY, WRAP, age_s, stamp

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
RESULT = b'event: result\ndata: {"generated_text":"a"}\n\n'


def event(index: int, token_id: int = 5) -> bytes:
    data = b'{"sequence_index":%d,"text_delta":"a","token_id":%d,"finish_reason":null}'
    return b"event: token\ndata: " + data % (index, token_id) + b"\n\n"


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[Address]:
    """A server that answers whatever it is asked with these bytes in turn, one a connection."""
    coming = cycle(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(coming))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address(*server.sockets[0].getsockname()[:2])


async def read(body: bytes, size: int = 4096) -> StreamSample:
    async with answering(HEAD + chunked(body, size)) as address:
        return await read_stream(address, request("/", b"{}"))


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
async def test_every_token_is_counted_wherever_the_chunks_are_cut(size: int) -> None:
    count = 2 * STAMP_EVERY + 1
    body = b"".join(event(index, stamp()) for index in range(count)) + RESULT
    sample = await read(body, size)
    assert (sample.tokens, len(sample.ages_s)) == (count, 3)


@pytest.mark.parametrize(
    "body",
    [
        event(0) + event(2) + RESULT,
        event(1) + RESULT,
        event(0) + event(0) + RESULT,
        event(0) + b'event: error\ndata: {"code":"internal_error"}\n\n',
        event(0),
        b"",
    ],
)
async def test_a_stream_that_is_not_whole_and_in_order_is_refused(body: bytes) -> None:
    with pytest.raises(BadStreamError):
        await read(body)


async def test_another_status_is_refused() -> None:
    async with answering(b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n") as address:
        with pytest.raises(BadStreamError, match="503"):
            await read_stream(address, request("/", b"{}"))


async def test_a_connection_that_is_closed_between_two_answers_is_opened_again() -> None:
    good = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    async with answering(good, good, b"HTTP/1.1 503 Enough\r\n\r\n") as address:
        with pytest.raises(BadStreamError, match="503"):
            await count_answers(address, request("/", b"{}"), time.monotonic() + 30)


async def test_an_answer_that_is_cut_off_is_an_error() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}") as address:
        with pytest.raises(BadStreamError, match="cut off"):
            await count_answers(address, request("/", b"{}"), time.monotonic() + 30)


@pytest.mark.parametrize("later_us", [0, 250_000, WRAP - 1])
def test_a_stamps_age_survives_the_end_of_its_range(later_us: int) -> None:
    made = 2 * WRAP - 10
    now = WRAP + (made + later_us) % WRAP
    assert age_s(made, now) == pytest.approx(later_us / 1e6)
