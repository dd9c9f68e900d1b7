"""Who begins when there are more images than threads: small ones never wait behind large ones."""

from __future__ import annotations

import asyncio
import threading

import pytest

from deployments.batching.preparation import Preparation
from deployments.batching.tuning import SMALL_PIXELS
from tests.deployments.forwards import PATIENCE_S

LARGE = 10 * SMALL_PIXELS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """Work that begins, says so, and ends when it may."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Queue[str] = asyncio.Queue()
        self._may: dict[str, threading.Event] = {}

    def work(self, name: str) -> str:
        self._loop.call_soon_threadsafe(self._started.put_nowait, name)
        assert self._event(name).wait(PATIENCE_S)
        return name

    def quick(self, name: str) -> str:
        self.begun.append(name)
        return name

    async def started(self) -> str:
        return await asyncio.wait_for(self._started.get(), PATIENCE_S)

    def end(self, name: str) -> None:
        self._event(name).set()

    def _event(self, name: str) -> threading.Event:
        return self._may.setdefault(name, threading.Event())


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def within(awaited: asyncio.Future[str]) -> str:
    return await asyncio.wait_for(awaited, PATIENCE_S)


async def test_a_small_image_does_not_wait_for_large_ones(gate: Gate) -> None:
    preparation = Preparation(3, 100 * LARGE)
    large = [
        asyncio.ensure_future(preparation.run(LARGE, gate.work, f"large {i}")) for i in range(20)
    ]
    assert {await gate.started(), await gate.started()} == {"large 0", "large 1"}
    for i in range(5):
        small = asyncio.ensure_future(preparation.run(SMALL_PIXELS, gate.quick, f"small {i}"))
        assert await within(small) == f"small {i}"
    assert preparation.waiting_pixels == 18 * LARGE
    for i in range(20):
        gate.end(f"large {i}")
    assert [await within(each) for each in large] == [f"large {i}" for i in range(20)]
    assert preparation.waiting_pixels == 0


async def test_large_images_together_have_no_more_pixels_than_one_may(gate: Gate) -> None:
    preparation = Preparation(4, 2 * LARGE)
    names = ("first", "second", "third")
    made = [asyncio.ensure_future(preparation.run(LARGE, gate.work, name)) for name in names]
    assert {await gate.started(), await gate.started()} == {"first", "second"}
    assert preparation.waiting_pixels == LARGE
    gate.end("first")
    assert await gate.started() == "third"
    gate.end("second")
    gate.end("third")
    assert [await within(each) for each in made] == list(names)


async def test_the_largest_that_is_allowed_runs_alone(gate: Gate) -> None:
    preparation = Preparation(4, 2 * LARGE)
    huge = asyncio.ensure_future(preparation.run(3 * LARGE, gate.work, "huge"))
    other = asyncio.ensure_future(preparation.run(SMALL_PIXELS + 1, gate.work, "other"))
    assert await gate.started() == "huge"
    assert preparation.waiting_pixels == SMALL_PIXELS + 1
    gate.end("huge")
    assert await gate.started() == "other"
    gate.end("other")
    assert [await within(huge), await within(other)] == ["huge", "other"]


async def test_one_that_has_waited_long_goes_before_newer_small_ones(
    gate: Gate, clock: Clock
) -> None:
    preparation = Preparation(1, 100 * LARGE, clock)
    blocker = asyncio.ensure_future(preparation.run(0, gate.work, "blocker"))
    assert await gate.started() == "blocker"
    waiting = [asyncio.ensure_future(preparation.run(LARGE, gate.quick, "large"))]
    await asyncio.sleep(0)
    waiting.append(asyncio.ensure_future(preparation.run(0, gate.quick, "small")))
    await asyncio.sleep(0)
    clock.now = 60.0
    waiting.append(asyncio.ensure_future(preparation.run(0, gate.quick, "late")))
    await asyncio.sleep(0)
    gate.end("blocker")
    await within(blocker)
    for each in waiting:
        await within(each)
    assert gate.begun == ["small", "large", "late"]


async def test_what_nobody_waits_for_is_dropped_with_what_it_held(gate: Gate) -> None:
    preparation = Preparation(1, 100 * LARGE)
    blocker = asyncio.ensure_future(preparation.run(0, gate.work, "blocker"))
    assert await gate.started() == "blocker"
    gone = [asyncio.ensure_future(preparation.run(LARGE, gate.quick, f"gone {i}")) for i in (1, 2)]
    stays = asyncio.ensure_future(preparation.run(LARGE, gate.quick, "stays"))
    await asyncio.sleep(0)
    for each in gone:
        each.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert preparation.waiting_pixels == LARGE
    assert all("gone" not in str(piece.work) for piece in preparation._large)
    gate.end("blocker")
    assert await within(stays) == "stays"
    assert gate.begun == ["stays"]
    await within(blocker)


async def test_a_failure_is_its_own_askers(gate: Gate) -> None:
    def fail() -> str:
        raise ArithmeticError("of this one")

    preparation = Preparation(2, LARGE)
    with pytest.raises(ArithmeticError, match="of this one"):
        await preparation.run(0, fail)
    assert await preparation.run(0, gate.quick, "next") == "next"
