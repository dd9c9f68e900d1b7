"""The replica's side of joined calls: answers leave when ready, and a cancel is for one."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

from deployments.models import joined_calls
from deployments.models.joined_calls import CallRunner
from deployments.seam.joined_calls import (
    CallFailed,
    CallOutcome,
    CancelledCalls,
    JoinedCalls,
    NoRoom,
)


class Doubling:
    """Doubles numbers; those of ``held`` when they are released."""

    def __init__(self, *held: int) -> None:
        self.held = {number: asyncio.Event() for number in held}
        self.running: set[int] = set()
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    async def double(self, number: int) -> int:
        self.running.add(number)
        self.began.set()
        try:
            if number in self.held:
                await self.held[number].wait()
            return 2 * number
        finally:
            self.running.discard(number)
            self.ended.set()

    async def text(self, length: int) -> str:
        return "x" * length


def calls(*numbers: int, method: str = "double", sender: str = "ingress") -> JoinedCalls:
    requests = {number: pickle.dumps(number) for number in numbers}
    return JoinedCalls(sender, method, "house/model", requests)


def read(outcome: CallOutcome) -> Any:
    return pickle.loads(outcome) if isinstance(outcome, bytes) else outcome


async def answered(runner: CallRunner, joined: JoinedCalls) -> list[list[tuple[int, Any]]]:
    """Every message of a list, to its end."""
    return [
        [(number, read(outcome)) for number, outcome in ready] async for ready in runner.run(joined)
    ]


async def test_answers_that_are_ready_at_once_share_a_message() -> None:
    assert await answered(CallRunner(Doubling()), calls(1, 2, 3)) == [[(1, 2), (2, 4), (3, 6)]]


async def test_answers_above_the_bytes_of_a_message_go_in_several() -> None:
    half = joined_calls.MAX_ITEM_BYTES // 2
    messages = await answered(CallRunner(Doubling()), calls(1, half, half + 1, method="text"))
    assert [[number for number, _ in each] for each in messages] == [[1, half], [half + 1]]


async def test_a_slow_call_leaves_its_answer_for_a_message_of_its_own() -> None:
    family = Doubling(1)
    messages = CallRunner(family).run(calls(1, 2))
    assert [number for number, _ in await anext(messages)] == [2]
    family.held[1].set()
    assert [number for number, _ in await anext(messages)] == [1]
    assert [ready async for ready in messages] == []


async def test_a_cancelled_call_ends_alone_and_has_no_answer() -> None:
    family = Doubling(1, 2)
    runner = CallRunner(family)
    reading = asyncio.ensure_future(answered(runner, calls(1, 2)))
    await family.began.wait()
    runner.cancel(CancelledCalls("ingress", (1,)))
    await family.ended.wait()
    assert family.running == {2}
    family.held[2].set()
    assert [each for each in await reading if each] == [[(2, 4)]]


async def test_a_call_that_another_sender_cancels_goes_on() -> None:
    family = Doubling(1)
    runner = CallRunner(family)
    reading = asyncio.ensure_future(answered(runner, calls(1)))
    await family.began.wait()
    runner.cancel(CancelledCalls("another", (1,)))
    family.held[1].set()
    assert await reading == [[(1, 2)]]


async def test_a_call_that_is_cancelled_before_it_comes_does_not_start() -> None:
    family = Doubling(1)
    runner = CallRunner(family)
    runner.cancel(CancelledCalls("ingress", (1,)))
    assert await answered(runner, calls(1, 2)) == [[(2, 4)]]
    assert not family.began.is_set() or family.running == set()


async def test_cancels_of_calls_that_never_come_are_forgotten() -> None:
    runner = CallRunner(Doubling())
    numbers = tuple(range(2 * joined_calls.MAX_EARLY_CANCELS))
    runner.cancel(CancelledCalls("ingress", numbers))
    assert await answered(runner, calls(0)) == [[(0, 0)]]
    assert await answered(runner, calls(numbers[-1])) == []


async def test_a_list_that_nobody_reads_any_more_ends_its_calls() -> None:
    family = Doubling(1)
    runner = CallRunner(family)
    messages = runner.run(calls(1, 2))
    await anext(messages)
    family.ended.clear()
    await messages.aclose()
    await family.ended.wait()
    assert family.running == set()


async def test_calls_above_the_limit_find_no_room_until_others_end() -> None:
    family = Doubling(1)
    runner = CallRunner(family, lambda: 1)
    messages = runner.run(calls(1, 2))
    assert await anext(messages) == [(2, NoRoom())]
    family.held[1].set()
    assert [number for number, _ in await anext(messages)] == [1]
    assert await answered(runner, calls(2)) == [[(2, 4)]]


async def test_a_request_that_cannot_be_read_fails_alone() -> None:
    joined = JoinedCalls("ingress", "double", None, {1: b"no pickle", 2: pickle.dumps(2)})
    (answers,) = await answered(CallRunner(Doubling()), joined)
    assert isinstance(dict(answers)[1], CallFailed)
    assert dict(answers)[2] == 4
