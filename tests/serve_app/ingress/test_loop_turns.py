"""Long pieces of work take turns of the event loop: how many are between two of them, and whose."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from serve_app.ingress.loop_turns import TURNS_BETWEEN, LoopTurns


class TurnCount:
    """Counts the turns of the loop, as a request that is always ready sees them."""

    def __init__(self) -> None:
        self.turn = 0
        self._loop = asyncio.get_running_loop()
        self._next()

    def _next(self) -> None:
        self.turn += 1
        self._handle = self._loop.call_soon(self._next)

    def end(self) -> None:
        self._handle.cancel()


async def begun(turns: LoopTurns, pieces: int) -> list[int]:
    """The turns in which ``pieces`` began that were all ready at once."""
    count = TurnCount()
    found: list[int] = []

    async def work() -> None:
        await turns.next()
        found.append(count.turn)

    await asyncio.gather(*(work() for _ in range(pieces)))
    count.end()
    return found


async def test_the_first_piece_begins_at_once() -> None:
    count = TurnCount()
    before = count.turn
    await LoopTurns().next()
    assert count.turn == before
    count.end()


async def test_others_have_turns_between_two_pieces() -> None:
    found = await begun(LoopTurns(), 5)
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert min(gaps) >= TURNS_BETWEEN, found
    assert max(gaps) <= TURNS_BETWEEN + 1, found


async def test_a_piece_long_after_the_last_one_does_not_wait() -> None:
    turns = LoopTurns()
    await begun(turns, 2)
    for _ in range(TURNS_BETWEEN):
        await asyncio.sleep(0)
    count = TurnCount()
    before = count.turn
    await turns.next()
    assert count.turn == before
    count.end()


async def test_pieces_begin_in_the_order_in_which_they_came() -> None:
    turns, order = LoopTurns(), list[int]()

    async def work(number: int) -> None:
        await turns.next()
        order.append(number)

    await asyncio.gather(*map(work, range(6)))
    assert order == list(range(6))


async def test_a_piece_that_was_cancelled_takes_no_turns() -> None:
    turns, count, found = LoopTurns(), TurnCount(), list[int]()

    async def work() -> None:
        await turns.next()
        found.append(count.turn)

    tasks = [asyncio.create_task(work()) for _ in range(4)]
    await asyncio.sleep(0)
    for task in tasks[1:3]:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    await tasks[3]
    count.end()
    first, last = found
    assert last - first <= TURNS_BETWEEN + 1
