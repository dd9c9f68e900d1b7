"""Items that are cancelled or take too long, and lanes that are closed."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Sequence

import pytest

from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.scheduler import BatchLimits
from deployments.seam.problems import Problem
from tests.deployments.batching.lanes import Clock, answered, lane_of
from tests.deployments.forwards import PATIENCE_S, Forwards


async def test_a_cancelled_item_never_reaches_the_model() -> None:
    forwards = Forwards()
    lane = lane_of(forwards)
    (running,) = lane.admit([1])
    await forwards.started()
    gone, stays = lane.admit([2, 3])
    gone.cancel()
    forwards.end(2)
    assert await forwards.started() == [3]
    assert await answered([running, stays]) == [2, 6]


async def test_an_item_cancelled_in_its_forward_costs_its_neighbours_nothing() -> None:
    forwards = Forwards()
    lane = lane_of(forwards)
    gone, stays = lane.admit([20, 21])
    await forwards.started()
    gone.cancel()
    forwards.end()
    assert await answered([stays]) == [42]


async def test_nothing_runs_when_all_that_waited_has_gone() -> None:
    forwards = Forwards()
    lane = lane_of(forwards)
    (running,) = lane.admit([1])
    await forwards.started()
    for future in lane.admit([2, 3]):
        future.cancel()
    forwards.end()
    await answered([running])
    forwards.end(2)
    assert await answered(lane.admit([4])) == [8]
    assert forwards.batches == [[1], [4]]


async def test_closing_ends_the_thread() -> None:
    forwards = Forwards()
    lane = lane_of(forwards)
    forwards.end()
    await answered(lane.admit([1]))
    lane.close()
    assert forwards.thread is not None
    await asyncio.to_thread(forwards.thread.join, PATIENCE_S)
    assert not forwards.thread.is_alive()


async def test_a_closed_lane_holds_no_model() -> None:
    """Whoever still has the lane, as Serve's batching has its last job."""

    def model(batch: Sequence[int]) -> list[int | Problem]:
        return list(batch)

    lane = lane_of(model)
    assert await answered(lane.admit([1, 2])) == [1, 2]
    gone = weakref.ref(model)
    lane.close()
    del model
    gc.collect()
    assert gone() is None


async def test_what_takes_longer_than_it_may_ends_at_its_next_step_as_a_problem() -> None:
    clock = Clock()

    def forward(batch: Sequence[int], steps: DecodeSteps) -> Sequence[int]:
        while any(steps.step()):
            clock.now += 1
        return batch

    lane = lane_of(forward, clock=clock, by_steps=True, timeout_s=9)
    (late,) = await answered(lane.admit([1]))
    assert isinstance(late, Problem)
    assert late.kind == "timeout"
    assert clock.now == 10


async def test_closing_a_lane_ends_a_batch_at_its_next_step() -> None:
    begun = asyncio.Event()
    loop, ended = asyncio.get_running_loop(), threading.Event()

    def forward(batch: Sequence[int], steps: DecodeSteps) -> Sequence[int]:
        loop.call_soon_threadsafe(begun.set)
        while any(steps.step()):
            pass
        ended.set()
        return batch

    lane = lane_of(forward, by_steps=True)
    futures = lane.admit([1])
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    lane.close()
    assert await asyncio.to_thread(ended.wait, PATIENCE_S)
    for future in futures:
        future.cancel()


async def test_what_waits_when_the_lane_is_closed_is_answered() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=1))
    futures = lane.admit([1, 2])
    await forwards.started()
    lane.close()
    forwards.end(2)
    first, second = await answered(futures)
    assert first == 2
    assert isinstance(second, Problem)


async def test_items_that_wait_when_the_process_ends_are_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their calls are lost with the replica, and another one answers them."""
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=1))
    first, *waiting = lane.admit([1, 2, 3])
    await forwards.started()
    monkeypatch.setattr("deployments.batching.lane.interpreter_ends", lambda: True)
    lane._threads.shutdown(wait=False)
    forwards.end()
    await first
    done, _ = await asyncio.wait(waiting, timeout=0.05)
    assert not done
