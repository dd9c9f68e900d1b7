"""Which items of a lane share a forward, when forwards run, and what is told of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import pytest

from deployments.batching.batch_runner import Paused
from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.scheduler import BatchLimits, QueuedRequest
from deployments.metrics.meter import Forward
from deployments.metrics.stage_recorder import StageRecorder
from deployments.seam.problems import Problem
from tests.deployments.batching.lanes import Clock, answered, lane_of
from tests.deployments.forwards import Forwards


async def run_of(arrivals_ms: Sequence[int], forward_ms: int, max_items: int) -> int:
    """When the last item is answered, on a clock that only arrivals and forwards move."""
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=max_items), size=lambda item: 8)
    coming, now, open_items = deque(arrivals_ms), 0, 0
    futures: list[asyncio.Future[int | Problem]] = []
    while coming or open_items:
        if not open_items:
            now = coming.popleft()
            futures += lane.admit([now])
            open_items = 1
        batch = await forwards.started()
        now += forward_ms
        while coming and coming[0] <= now:
            futures += lane.admit([coming.popleft()])
            open_items += 1
        forwards.end()
        open_items -= len(batch)
    assert await answered(futures) == [2 * at for at in arrivals_ms]
    assert max(map(len, forwards.batches)) <= max_items
    return now


async def test_the_model_is_never_idle_while_something_waits() -> None:
    # Ideal: forwards of 1, 20, 20, 20 and 3 items, back to back.
    ideal_ms = 5 * 200
    took_ms = await run_of(range(0, 640, 10), forward_ms=200, max_items=32)
    assert took_ms <= 1.15 * ideal_ms


async def test_a_lone_item_does_not_wait_for_company() -> None:
    assert await run_of([0, 1000, 2000], forward_ms=200, max_items=32) == 2200


async def test_a_batch_holds_the_likest_lengths_shortest_first() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=3))
    futures = lane.admit([1])
    assert await forwards.started() == [1]
    futures += lane.admit([50, 400, 52, 390, 49])
    forwards.end(3)
    assert await forwards.started() == [49, 50, 52]
    assert await forwards.started() == [390, 400]
    assert await answered(futures) == [2, 100, 800, 104, 780, 98]


async def test_a_new_bound_holds_from_the_next_batch_on() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=2))
    futures = lane.admit([1])
    await forwards.started()
    futures += lane.admit([2, 3, 4, 5, 6, 7])
    forwards.end()
    assert await forwards.started() == [2, 3]
    lane.limits = BatchLimits(max_items=4)
    forwards.end(2)
    assert await forwards.started() == [4, 5, 6, 7]
    await answered(futures)


async def test_the_depth_counts_what_waits_and_not_what_runs() -> None:
    forwards = Forwards()
    lane = lane_of(forwards)
    futures = lane.admit([1])
    await forwards.started()
    assert lane.depth == 0
    futures += lane.admit([2, 3])
    assert lane.depth == 2
    forwards.end(2)
    await answered(futures)
    assert lane.depth == 0


async def test_an_observer_is_told_of_each_batch_before_its_answers_go_out() -> None:
    forwards, seen, clock = Forwards(), list[Forward](), Clock()
    lane = lane_of(forwards, BatchLimits(max_items=4), clock=clock, observe=seen.append)
    futures = lane.admit([6])
    await forwards.started()
    futures += lane.admit([2, 3])
    clock.now = 0.001
    forwards.end()
    await answered(futures[:1])
    assert [(len(each.waits_s), each.padding) for each in seen] == [(1, 0.0)]
    await forwards.started()
    clock.now = 0.003
    forwards.end()
    await answered(futures)
    assert seen[1].fill == 0.5
    assert seen[1].padding == pytest.approx(1 / 6)
    assert [each.waits_s for each in seen] == [(0.0,), (0.001, 0.001)]
    assert [each.seconds for each in seen] == pytest.approx([0.001, 0.002])


async def test_only_items_of_a_kind_share_a_forward() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, kind=lambda item: item % 2)
    futures = lane.admit([100])
    await forwards.started()
    futures += lane.admit([5, 6, 7, 8])
    forwards.end(3)
    await answered(futures)
    assert forwards.batches == [[100], [5, 7], [6, 8]]


async def test_as_many_batches_run_at_a_time_as_the_model_takes() -> None:
    forwards, clock = Forwards(), Clock()
    lane = lane_of(forwards, BatchLimits(max_items=2), clock=clock, concurrency=2)
    futures = lane.admit([1, 2, 3, 4, 5, 6])
    assert await forwards.started() == [1, 2]
    assert await forwards.started() == [3, 4]
    assert lane.depth == 2
    clock.now = 0.001
    with pytest.raises(RuntimeError, match="more than 0 s"):
        lane.check(0.0)
    forwards.end()
    assert await forwards.started() == [5, 6]
    forwards.end(2)
    assert await answered(futures) == [2, 4, 6, 8, 10, 12]
    lane.check(0.0)


async def test_what_is_admitted_together_shares_a_forward_although_several_could_run() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, concurrency=2)
    futures = [future for item in (1, 2, 3) for future in lane.admit([item])]
    assert await forwards.started() == [1, 2, 3]
    forwards.end()
    assert await answered(futures) == [2, 4, 6]


async def test_a_single_item_waits_for_one_forward_of_a_long_list_at_most() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=4))
    listed = lane.admit([10] * 40)
    await forwards.started()
    (single,) = lane.admit([300])
    forwards.end(2)
    assert await forwards.started() == [300]
    assert await answered([single]) == [600]
    forwards.end(100)
    assert await answered(listed) == [20] * 40
    assert len(forwards.batches) == 11


async def test_what_is_admitted_in_parts_for_one_request_is_one_request() -> None:
    forwards, request = Forwards(), QueuedRequest()
    lane = lane_of(forwards, BatchLimits(max_items=1))
    listed = lane.admit([1, 2], request)
    assert await forwards.started() == [1]
    listed += lane.admit([3], request)
    single = lane.admit([4])
    forwards.end(100)
    await answered(listed + single)
    assert forwards.batches == [[1], [4], [2], [3]]


async def test_a_request_that_asked_is_told_its_wait_and_who_shared_its_forward() -> None:
    forwards, recorder = Forwards(), StageRecorder()
    lane = lane_of(forwards)
    first = lane.admit([1])
    assert await forwards.started() == [1]
    asked = lane.admit([2, 3], QueuedRequest(recorder=recorder))
    beside = lane.admit([4])
    forwards.end(100)
    await answered(first + asked + beside)
    queue, forward = recorder.timing().stages
    assert (queue.name, forward.name) == ("queue", "forward")
    assert (forward.items, forward.requests) == (3, 2)
    assert queue.seconds >= 0
    assert forward.began == pytest.approx(queue.began + queue.seconds)


async def test_a_warm_up_runs_what_it_is_given_and_learns_from_it() -> None:
    time = Clock()

    def forward(batch: Sequence[int]) -> Sequence[int | Problem]:
        time.now += 0.010 + 0.001 * len(batch) * max(batch)
        return list(batch)

    lane = lane_of(forward, BatchLimits(max_seconds=0.101), clock=time)
    lane.warm_up([[1], [10] * 4])
    sizes: list[int] = []
    lane._observe = lambda each: sizes.append(len(each.waits_s))
    await answered(lane.admit([10] * 20))
    assert sizes == [9, 9, 2]


async def test_an_item_that_gives_way_goes_on_as_it_says_in_its_turn() -> None:
    order: list[int] = []

    def forward(batch: Sequence[int], steps: DecodeSteps) -> Sequence[int | Paused[int]]:
        order.extend(batch)
        return [Paused(item + 1) if item < 3 else item for item in batch]

    lane = lane_of(forward, BatchLimits(max_items=1), by_steps=True)
    assert await answered(lane.admit([1]) + lane.admit([7])) == [3, 7]
    assert order in ([1, 7, 2, 3], [7, 1, 2, 3])


async def test_the_time_of_what_waits_is_predicted_from_forwards_that_have_run() -> None:
    clock = Clock()

    def take(batch: Sequence[int]) -> Sequence[int]:
        clock.now += 0.01 + 0.001 * len(batch) * max(batch)
        return batch

    limits = BatchLimits(max_items=4, max_seconds=1.0)
    lane = lane_of(take, limits, clock=clock)
    for items in ([10], [10, 10, 10], [20, 20]):
        await answered(lane.admit(items))
    assert lane.waiting_seconds == 0
    futures = lane.admit([10] * 8)  # they wait until the loop runs again
    assert lane.waiting_seconds == pytest.approx(2 * (0.01 + 0.001 * 40), rel=0.01)
    lane.limits = BatchLimits(max_items=4, max_volume=20, max_seconds=1.0)
    assert lane.waiting_seconds == pytest.approx(4 * (0.01 + 0.001 * 20), rel=0.01)
    lane.limits = BatchLimits(max_items=8, max_seconds=0.05)
    assert lane.waiting_seconds == pytest.approx(2 * (0.01 + 0.001 * 40), rel=0.01)
    await answered(futures)
    assert lane.waiting_seconds == 0


async def test_a_lane_is_busy_while_its_forwards_run() -> None:
    forwards, clock = Forwards(), Clock()
    lane = lane_of(forwards, clock=clock)
    clock.now += 5
    assert lane.busy == 0
    futures = lane.admit([1])
    await forwards.started()
    clock.now += 5
    assert lane.busy == pytest.approx(1 / 2)
    forwards.end()
    await answered(futures)
