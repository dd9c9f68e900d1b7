"""Tokens are sent one by one while sending is faster than decoding, and together when slower."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deployments.engine.token_stream import StreamPacing, TokenBuffer
from deployments.engine.tuning import MAX_ITEM_S
from deployments.seam.generation import Token, TokenChunk, TokenLogprob
from deployments.seam.problems import Problem

PATIENCE_S = 30.0
FACTOR = 3.0
STREAMS = 64
BROKEN = Problem("unavailable", "the model stopped")


class Timer:
    """What a loop gives for a call at a later time."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call


class Loop:
    """The running loop, but for its clock, which only the test moves."""

    def __init__(self) -> None:
        self._real = asyncio.get_running_loop()
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_soon_threadsafe(self, call: Callable[[], None]) -> None:
        self._real.call_soon_threadsafe(call)

    def call_at(self, at: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, call))
        return self.timers[-1]

    async def to(self, now: float) -> None:
        """Move the clock; what is due by then runs, and whoever it wakes as well."""
        self.now = now
        due = [timer for timer in self.timers if timer.at <= now]
        self.timers = [timer for timer in self.timers if timer.at > now]
        for timer in due:
            timer.call()
        await settle()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def loop() -> Loop:
    return Loop()


def pacing_on(loop: Loop) -> StreamPacing:
    clocked: Any = loop
    return StreamPacing(clocked, FACTOR)


def token(position: int) -> Token:
    return Token(0, position, 100 + position, str(position))


class Stream:
    """A stream's reader: asks for more when the test says that it has sent its last chunk."""

    def __init__(self, pacing: StreamPacing) -> None:
        self.buffer = pacing.new_buffer()
        self.chunks: list[list[int]] = []
        self.position = 0
        self.asking: asyncio.Task[None] | None = None

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self.buffer.put(token(self.position))
            self.position += 1

    def ask(self) -> None:
        self.asking = asyncio.ensure_future(self._take())

    async def _take(self) -> None:
        tokens, _ = await self.buffer.take()
        self.chunks.append([each.position for each in tokens])


async def opened(pacing: StreamPacing, count: int) -> list[Stream]:
    """Streams whose first token has left, and which are back for more."""
    streams = [Stream(pacing) for _ in range(count)]
    for stream in streams:
        stream.ask()
        stream.put()
    await settle()
    for stream in streams:
        stream.ask()
    await settle()
    return streams


async def test_where_sending_is_fast_each_token_is_sent_alone_and_at_once(loop: Loop) -> None:
    (stream,) = await opened(pacing_on(loop), 1)
    for step in range(1, 6):
        await loop.to(step)
        stream.put()
        await settle()
        stream.ask()  # sent within no time
        await settle()
    assert stream.chunks == [[0], [1], [2], [3], [4], [5]]
    assert loop.timers == []


async def test_the_first_token_of_a_stream_is_not_delayed(loop: Loop) -> None:
    pacing = pacing_on(loop)
    (busy,) = await opened(pacing, 1)
    busy.put()
    await settle()
    await loop.to(0.004)
    busy.ask()
    await settle()
    busy.put()
    await settle()
    assert len(busy.chunks) == 2  # it is not yet time to flush
    late = Stream(pacing)
    late.ask()
    late.put()
    await settle()
    assert late.chunks == [[0]]
    assert len(busy.chunks) == 2


async def test_where_sending_is_slow_tokens_are_sent_together(loop: Loop) -> None:
    (stream,) = await opened(pacing_on(loop), 1)
    stream.put()
    await settle()
    await loop.to(0.004)  # so long it took to send
    stream.ask()
    await settle()
    for step in (0.005, 0.008, 0.011):
        await loop.to(step)
        stream.put()
        await settle()
    assert stream.chunks == [[0], [1]]
    await loop.to(0.012 + 1e-6)
    assert stream.chunks == [[0], [1], [2, 3, 4]]


async def test_streams_are_flushed_together_each_with_its_own_tokens_in_order(
    loop: Loop,
) -> None:
    pacing = pacing_on(loop)
    streams = await opened(pacing, STREAMS)
    for stream in streams:
        stream.put()
    await settle()
    for number, stream in enumerate(streams):  # one after another comes back
        await loop.to(0.0001 * (number + 1))
        stream.ask()
        await settle()
    for _ in range(3):
        for stream in streams:
            stream.put()
    await settle()
    assert all(len(stream.chunks) == 2 for stream in streams)
    await loop.to(0.0064 * FACTOR + 1e-6)
    assert all(stream.chunks == [[0], [1], [2, 3, 4]] for stream in streams)


async def test_a_slow_reader_delays_no_other_stream(loop: Loop) -> None:
    slow, quick = await opened(pacing_on(loop), 2)
    for stream in (slow, quick):
        stream.put()
    await settle()
    quick.ask()
    await settle()
    await loop.to(100)
    for stream in (slow, quick):
        stream.put(2)
    await settle()
    assert quick.chunks[-1] == [2, 3]
    slow.ask()  # after a hundred seconds: sending did not take that long
    await settle()
    assert slow.chunks[-1] == [2, 3]


async def test_a_busy_event_loop_delays_the_next_flush_by_a_bounded_time(loop: Loop) -> None:
    (stream,) = await opened(pacing_on(loop), 1)
    stream.put()
    await settle()
    await loop.to(60)
    stream.ask()
    stream.put()
    await settle()
    assert stream.chunks == [[0], [1]]
    await loop.to(60 + (FACTOR - 1) * MAX_ITEM_S + 1e-6)
    assert stream.chunks == [[0], [1], [2]]


async def test_a_closed_stream_is_not_waited_for(loop: Loop) -> None:
    pacing = pacing_on(loop)
    gone, there = await opened(pacing, 2)
    assert gone.asking is not None
    gone.asking.cancel()
    await settle()
    for stream in (gone, there):
        stream.put()
    await settle()
    assert (gone.chunks, there.chunks) == ([[0]], [[0], [1]])


async def test_a_failure_comes_behind_the_tokens_before_it(loop: Loop) -> None:
    buffer = pacing_on(loop).new_buffer()
    buffer.put(token(0))
    buffer.put(BROKEN)
    await settle()
    assert await buffer.take() == ((token(0),), BROKEN)


@pytest.fixture
async def engine() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


async def test_nothing_is_lost_or_out_of_order_between_threads(engine: ThreadPoolExecutor) -> None:
    """Four engines write sixteen streams each, as fast as they can."""
    pacing, count = StreamPacing(asyncio.get_running_loop()), 500
    buffers = [pacing.new_buffer() for _ in range(STREAMS)]

    def decode(some: list[TokenBuffer]) -> None:
        for position in range(count):
            for buffer in some:
                buffer.put(token(position))

    async def read(buffer: TokenBuffer) -> list[int]:
        positions: list[int] = []
        while len(positions) < count:
            tokens, _ = await buffer.take()
            positions += [each.position for each in tokens]
        return positions

    reading = asyncio.gather(*(read(buffer) for buffer in buffers))
    for first in range(4):
        engine.submit(decode, buffers[first::4])
    async with asyncio.timeout(PATIENCE_S):
        assert await reading == [list(range(count))] * STREAMS


def test_a_token_chunk_is_pickled_whole() -> None:
    logprob = TokenLogprob("b", -0.5, b"b", (("a", -1.0, b"a"),), (4,), frozenset({4}))
    tokens = (
        Token(1, 0, 5, "a"),
        Token(0, 3, 2**31, "é", "stop", logprob, special=True, stop_string="b"),
    )
    for chunk in (TokenChunk(3, tokens, "cuda:0"), TokenChunk(3, tokens[:1])):
        assert pickle.loads(pickle.dumps(chunk)) == chunk
