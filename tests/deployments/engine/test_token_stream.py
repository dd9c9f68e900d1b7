"""The way out: tokens go alone while it is quicker than the engine, and join as it is slower."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deployments.engine.token_stream import LONGEST_S, StreamPacing, TokenBuffer
from deployments.seam.generation import Token, TokenChunk, TokenLogprob
from deployments.seam.problems import Problem

PATIENCE_S = 30.0
SHARE = 3.0
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
        await turns()


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def loop() -> Loop:
    return Loop()


def way_on(loop: Loop) -> StreamPacing:
    clocked: Any = loop
    return StreamPacing(clocked, SHARE)


def token(position: int) -> Token:
    return Token(0, position, 100 + position, str(position))


class Stream:
    """A stream's reader: asks for more when the test says that it has sent what it had."""

    def __init__(self, way: StreamPacing) -> None:
        self.buffer = way.new_buffer()
        self.bursts: list[list[int]] = []
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
        self.bursts.append([each.position for each in tokens])


async def opened(way: StreamPacing, count: int) -> list[Stream]:
    """Streams whose first token has left, and which are back for more."""
    streams = [Stream(way) for _ in range(count)]
    for stream in streams:
        stream.ask()
        stream.put()
    await turns()
    for stream in streams:
        stream.ask()
    await turns()
    return streams


async def test_on_a_quick_way_every_token_goes_alone_and_at_once(loop: Loop) -> None:
    (stream,) = await opened(way_on(loop), 1)
    for step in range(1, 6):
        await loop.to(step)
        stream.put()
        await turns()
        stream.ask()  # sent within no time
        await turns()
    assert stream.bursts == [[0], [1], [2], [3], [4], [5]]
    assert loop.timers == []


async def test_a_first_token_waits_for_nobody(loop: Loop) -> None:
    way = way_on(loop)
    (busy,) = await opened(way, 1)
    busy.put()
    await turns()
    await loop.to(0.004)
    busy.ask()
    await turns()
    busy.put()
    await turns()
    assert len(busy.bursts) == 2  # the way rests
    late = Stream(way)
    late.ask()
    late.put()
    await turns()
    assert late.bursts == [[0]]
    assert len(busy.bursts) == 2


async def test_on_a_slow_way_tokens_join_for_as_long_as_it_rests(loop: Loop) -> None:
    (stream,) = await opened(way_on(loop), 1)
    stream.put()
    await turns()
    await loop.to(0.004)  # so long it took to send
    stream.ask()
    await turns()
    for step in (0.005, 0.008, 0.011):
        await loop.to(step)
        stream.put()
        await turns()
    assert stream.bursts == [[0], [1]]
    await loop.to(0.012 + 1e-6)
    assert stream.bursts == [[0], [1], [2, 3, 4]]


async def test_streams_that_wait_leave_together_each_with_its_own_tokens_in_order(
    loop: Loop,
) -> None:
    way = way_on(loop)
    streams = await opened(way, STREAMS)
    for stream in streams:
        stream.put()
    await turns()
    for number, stream in enumerate(streams):  # one after another comes back
        await loop.to(0.0001 * (number + 1))
        stream.ask()
        await turns()
    for _ in range(3):
        for stream in streams:
            stream.put()
    await turns()
    assert all(len(stream.bursts) == 2 for stream in streams)
    await loop.to(0.0064 * SHARE + 1e-6)
    assert all(stream.bursts == [[0], [1], [2, 3, 4]] for stream in streams)


async def test_a_stream_whose_reader_is_slow_holds_up_nobody(loop: Loop) -> None:
    slow, quick = await opened(way_on(loop), 2)
    for stream in (slow, quick):
        stream.put()
    await turns()
    quick.ask()
    await turns()
    await loop.to(100)
    for stream in (slow, quick):
        stream.put(2)
    await turns()
    assert quick.bursts[-1] == [2, 3]
    slow.ask()  # after a hundred seconds: that was not the way's fault
    await turns()
    assert slow.bursts[-1] == [2, 3]


async def test_however_long_the_loop_was_kept_the_rest_has_an_end(loop: Loop) -> None:
    (stream,) = await opened(way_on(loop), 1)
    stream.put()
    await turns()
    await loop.to(60)
    stream.ask()
    stream.put()
    await turns()
    assert stream.bursts == [[0], [1]]
    await loop.to(60 + (SHARE - 1) * LONGEST_S + 1e-6)
    assert stream.bursts == [[0], [1], [2]]


async def test_a_stream_that_is_gone_is_not_waited_for(loop: Loop) -> None:
    way = way_on(loop)
    gone, there = await opened(way, 2)
    assert gone.asking is not None
    gone.asking.cancel()
    await turns()
    for stream in (gone, there):
        stream.put()
    await turns()
    assert (gone.bursts, there.bursts) == ([[0]], [[0], [1]])


async def test_a_problem_comes_behind_the_tokens_before_it(loop: Loop) -> None:
    buffer = way_on(loop).new_buffer()
    buffer.put(token(0))
    buffer.put(BROKEN)
    await turns()
    assert await buffer.take() == ((token(0),), BROKEN)


@pytest.fixture
async def engine() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


async def test_nothing_is_lost_or_out_of_order_between_threads(engine: ThreadPoolExecutor) -> None:
    """Four engines write sixteen streams each, as fast as they can."""
    way, count = StreamPacing(asyncio.get_running_loop()), 500
    outboxes = [way.new_buffer() for _ in range(STREAMS)]

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

    reading = asyncio.gather(*(read(buffer) for buffer in outboxes))
    for first in range(4):
        engine.submit(decode, outboxes[first::4])
    async with asyncio.timeout(PATIENCE_S):
        assert await reading == [list(range(count))] * STREAMS


def test_a_burst_travels_whole() -> None:
    logprob = TokenLogprob("b", -0.5, b"b", (("a", -1.0, b"a"),), (4,), frozenset({4}))
    tokens = (
        Token(1, 0, 5, "a"),
        Token(0, 3, 2**31, "é", "stop", logprob, special=True, stop_string="b"),
    )
    for burst in (TokenChunk(3, tokens, "cuda:0"), TokenChunk(3, tokens[:1])):
        assert pickle.loads(pickle.dumps(burst)) == burst
