"""A cheap HTTP client for the graph of stubs: it counts events and checks their order.

It parses nothing else. It uses asyncio sockets over uvloop, with one HTTP/1.1 request for each
connection, or many in a row on one.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import uvloop

from bench.graph.generation import STAMP_EVERY, age_s, stamp

T = TypeVar("T")

EVENT = re.compile(rb'"sequence_index":(\d+),.*?"token_id":(\d+)')


class BadStreamError(RuntimeError):
    """A stream or answer that is out of order, cut off or refused."""


@dataclass
class StreamSample:
    """The measurements of one stream. Times are seconds of ``time.monotonic``."""

    began: float
    first: float = 0.0
    ended: float = 0.0
    tokens: int = 0
    chunks: int = 0
    ages_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Address:
    host: str
    port: int


def run(work: Callable[[], Awaitable[T]]) -> tuple[T, float]:
    """The result of ``work``, and the processor time in seconds that it took in this process."""

    async def whole() -> T:
        return await work()

    began = time.process_time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(whole())
    return result, time.process_time() - began


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def read_stream(address: Address, asked: bytes) -> StreamSample:
    """Read one native stream to its end. Raises :class:`BadStreamError`."""
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=2**20)
    try:
        result = StreamSample(time.monotonic())
        writer.write(asked)
        await _head(reader)
        text = b""
        while chunk := await _chunk(reader):
            text = _events(result, text + chunk)
        result.ended = time.monotonic()
    finally:
        writer.close()
    if not text.startswith(b"event: result"):
        raise BadStreamError(f"a stream ended with {text[:200]!r}")
    return result


async def count_answers(address: Address, asked: bytes, until: float) -> int:
    """Send the same request on one connection until the time ``until``; returns how many got a 200.

    A connection that is closed between two answers, as load balancers do when they are configured
    anew, is opened again. Raises :class:`BadStreamError` for an answer that is cut off.
    """
    count = 0
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            while time.monotonic() < until:
                writer.write(asked)
                length = await _head(reader)
                await reader.readexactly(length)
                count += 1
        except ConnectionResetError:
            continue
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise BadStreamError("an answer was cut off") from None
        finally:
            writer.close()
    return count


def _events(result: StreamSample, text: bytes) -> bytes:
    """Count whole events; returns the rest, which is read again with the next chunk."""
    whole, gap, rest = text.rpartition(b"\n\n")
    if not gap:
        return text
    found = EVENT.findall(whole)
    if not found:
        return text
    if result.tokens == 0:
        result.first = time.monotonic()
    now = stamp()
    for index, token_id in found:
        if int(index) != result.tokens:
            raise BadStreamError(f"token {result.tokens} was awaited, {int(index)} came")
        if result.tokens % STAMP_EVERY == 0:
            result.ages_s.append(age_s(int(token_id), now))
        result.tokens += 1
    result.chunks += 1
    last = whole.rpartition(b"\n\n")[2]
    return last + gap + rest if last.startswith(b"event: result") else rest


async def _head(reader: asyncio.StreamReader) -> int:
    """Read the head of an answer; its body's length, 0 for a chunked one."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise BadStreamError(head[:200].decode(errors="replace"))
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return int(length[1]) if length else 0


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a chunked body, empty at its end."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    data = await reader.readexactly(size + 2)
    return data[:-2]
