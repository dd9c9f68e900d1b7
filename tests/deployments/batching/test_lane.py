from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pytest
import torch

from deployments.batching.batch_runner import BatchedModel, Paused
from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.device_failures import DeviceFailures
from deployments.batching.lane import Lane
from deployments.batching.scheduler import BatchLimits, QueuedRequest
from deployments.metrics.meter import Forward
from deployments.metrics.stage_recorder import StageRecorder
from deployments.models.call_receiver import enter_context
from deployments.models.fair_shares import Owner
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.problems import Problem
from tests.deployments.forwards import PATIENCE_S, Forwards


class Clock:
    """A clock that only the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def size(item: int) -> int:
    return item


def lane_of(
    run: Callable[..., Any],
    limits: BatchLimits | None = None,
    *,
    size: Callable[[int], int] = size,
    kind: Callable[[int], Hashable] = lambda item: None,
    nbytes: Callable[[int], int] = lambda item: 0,
    concurrency: int = 1,
    by_steps: bool = False,
    device: DeviceFailures | None = None,
    observe: Callable[[Forward], None] = lambda forward: None,
    clock: Callable[[], float] | None = None,
    **options: Any,
) -> Lane[int, int]:
    """By default forwards take no time, so that a busy machine does not bound the next ones."""
    return Lane(
        "test",
        BatchedModel(run, size, kind, nbytes, concurrency, by_steps),
        limits or BatchLimits(),
        device or DeviceFailures(),
        observe,
        clock=clock or Clock(),
        **options,
    )


async def answered(futures: Sequence[asyncio.Future[int | Problem]]) -> list[int | Problem]:
    return await asyncio.wait_for(asyncio.gather(*futures), PATIENCE_S)


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


async def test_only_the_bad_item_of_a_batch_fails() -> None:
    def forward(batch: Sequence[int]) -> Sequence[int | Problem]:
        if 13 in batch:
            raise ArithmeticError("this model has its superstitions")
        return [item * 2 for item in batch]

    lane = lane_of(forward)
    good, bad, other = await answered(lane.admit([12, 13, 14]))
    assert (good, other) == (24, 28)
    assert isinstance(bad, Problem)
    assert bad.kind == "internal"
    assert "superstitions" not in bad.message
    assert await answered(lane.admit([15])) == [30]


@pytest.mark.parametrize("answers", [0, 2])
async def test_an_item_without_an_answer_of_its_own_fails_alone(answers: int) -> None:
    def forward(batch: Sequence[int]) -> Sequence[int | Problem]:
        return [item * 2 for item in batch for _ in range(answers if item == 13 else 1)]

    lane = lane_of(forward)
    good, bad, other = await answered(lane.admit([12, 13, 14]))
    assert (good, other) == (24, 28)
    assert isinstance(bad, Problem)
    assert bad.kind == "internal"
    assert await answered(lane.admit([15])) == [30]
    lane.check(0.0)


async def test_a_model_can_answer_one_item_with_a_problem_of_its_own() -> None:
    problem = Problem("validation", "an odd text")

    def forward(batch: Sequence[int]) -> Sequence[int | Problem]:
        return [problem if item % 2 else item for item in batch]

    lane = lane_of(forward)
    assert await answered(lane.admit([2, 3, 4])) == [2, problem, 4]


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


async def test_a_forward_that_hangs_fails_the_check_until_it_ends() -> None:
    forwards, clock = Forwards(), Clock()
    lane = lane_of(forwards, clock=clock)
    lane.check(0.0)
    futures = lane.admit([1])
    await forwards.started()
    clock.now = 10.0
    lane.check(10.0)
    with pytest.raises(RuntimeError, match="more than 9 s"):
        lane.check(9.0)
    forwards.end()
    await answered(futures)
    lane.check(0.0)


async def test_closing_ends_the_thread() -> None:
    forwards = Forwards()
    lane = lane_of(forwards)
    forwards.end()
    await answered(lane.admit([1]))
    lane.close()
    assert forwards.thread is not None
    await asyncio.to_thread(forwards.thread.join, PATIENCE_S)
    assert not forwards.thread.is_alive()


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


async def test_a_batch_of_many_steps_is_healthy_while_it_makes_them() -> None:
    clock, loop = Clock(), asyncio.get_running_loop()
    stepped: asyncio.Queue[int] = asyncio.Queue()
    go = threading.Semaphore(0)

    def forward(batch: Sequence[int], steps: DecodeSteps) -> Sequence[int]:
        for step in range(3):
            assert go.acquire(timeout=PATIENCE_S)
            steps.step()
            loop.call_soon_threadsafe(stepped.put_nowait, step)
        assert go.acquire(timeout=PATIENCE_S)
        return batch

    lane = lane_of(forward, clock=clock, by_steps=True)
    futures = lane.admit([1])
    for _ in range(3):
        clock.now += 100
        go.release()
        await asyncio.wait_for(stepped.get(), PATIENCE_S)
        lane.check(stall_s=50)
    clock.now += 100
    with pytest.raises(RuntimeError, match="50 s"):
        lane.check(stall_s=50)
    go.release()
    assert await answered(futures) == [1]
    lane.check(stall_s=50)


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


async def test_an_item_that_gives_way_goes_on_as_it_says_in_its_turn() -> None:
    order: list[int] = []

    def forward(batch: Sequence[int], steps: DecodeSteps) -> Sequence[int | Paused[int]]:
        order.extend(batch)
        return [Paused(item + 1) if item < 3 else item for item in batch]

    lane = lane_of(forward, BatchLimits(max_items=1), by_steps=True)
    assert await answered(lane.admit([1]) + lane.admit([7])) == [3, 7]
    assert order in ([1, 7, 2, 3], [7, 1, 2, 3])


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


def failing_in(bad: set[int], counts: list[int], error: Exception) -> Callable[..., Any]:
    """A model that fails where one of ``bad`` is in a batch, and writes down how large they are."""

    def forward(batch: Sequence[int]) -> Sequence[int | Problem]:
        counts.append(len(batch))
        if bad & set(batch):
            raise error
        return [item * 2 for item in batch]

    return forward


async def test_a_failed_batch_is_tried_again_in_halves() -> None:
    counts: list[int] = []
    forward = failing_in({5}, counts, ArithmeticError())
    lane = lane_of(forward, BatchLimits(max_items=64), size=lambda _: 8)
    answers = await answered(lane.admit(range(1, 33)))
    assert [item for item, a in enumerate(answers, 1) if isinstance(a, Problem)] == [5]
    assert counts[0] == 32
    assert len(counts) == 11  # 32 by themselves would be 33


async def test_a_batch_that_needs_too_much_memory_runs_in_parts() -> None:
    sizes: list[int] = []

    def forward(batch: Sequence[int]) -> Sequence[int | Problem]:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return [item * 2 for item in batch]

    lane = lane_of(forward)
    assert await answered(lane.admit([1] * 8)) == [2] * 8
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    lane.check(0.0)


async def test_what_a_failed_forward_held_is_gone_before_the_next_one() -> None:
    held: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    class Tensor:
        """Something large."""

    def forward(batch: Sequence[int]) -> Sequence[int | Problem]:
        alive.extend(each() is not None for each in held)
        large = Tensor()
        held.append(weakref.ref(large))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return list(batch)

    lane = lane_of(forward)
    assert await answered(lane.admit([1, 2])) == [1, 2]
    assert alive == [False, False, False]


@pytest.mark.parametrize("raising", ["observe", "initialize", "run", "answers"])
async def test_every_item_is_answered_whatever_raises(raising: str) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    def forward(batch: Sequence[int]) -> Any:
        return None if raising == "answers" else [item * 2 for item in batch]

    lane = lane_of(
        fail if raising == "run" else forward,
        observe=fail if raising == "observe" else lambda _: None,
        initialize=fail if raising == "initialize" else None,
    )
    good = raising in ("observe", "initialize")
    for _ in range(2):
        answers = await answered(lane.admit([1, 2]))
        assert answers == [2, 4] if good else all(isinstance(a, Problem) for a in answers)


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


DEVICE_ERRORS = [
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
]


@pytest.mark.parametrize("error", DEVICE_ERRORS, ids=lambda error: str(error)[:30])
async def test_a_lost_device_fails_the_check_at_once(error: Exception) -> None:
    counts: list[int] = []
    forward = failing_in({1}, counts, error)
    lane = lane_of(forward)
    lane.check(0.0)
    answers = await answered(lane.admit([1] * 8))
    assert all(isinstance(answer, Problem) for answer in answers)
    assert counts == [8]  # what cannot go well is not tried in halves
    with pytest.raises(RuntimeError, match="the device is lost"):
        lane.check(0.0)


async def test_running_out_of_memory_is_no_lost_device() -> None:
    counts: list[int] = []
    for error in (
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ):
        lane = lane_of(failing_in({1}, counts, error))
        await answered(lane.admit([1]))
        lane.check(0.0)


async def test_a_model_that_fails_on_everything_fails_the_check_after_a_few_batches() -> None:
    counts: list[int] = []
    broken: set[int] = set()
    forward = failing_in(broken, counts, ValueError("nobody knows"))
    lane = lane_of(forward)
    assert await answered(lane.admit([7])) == [14]
    broken |= set(range(100))
    for _ in range(2):
        await answered(lane.admit([7, 8, 9]))
        lane.check(0.0)
    await answered(lane.admit([7, 8, 9]))
    with pytest.raises(RuntimeError, match="the last 3 batches failed, item by item: ValueError"):
        lane.check(0.0)
    broken.clear()
    assert await answered(lane.admit([7])) == [14]
    lane.check(0.0)


async def test_inputs_that_a_model_fails_on_do_not_make_it_unhealthy() -> None:
    """Or anybody who knows one has the replica replaced."""
    counts: list[int] = []
    forward = failing_in({13}, counts, ValueError("superstitions"))
    lane = lane_of(forward)
    assert await answered(lane.admit([7])) == [14]
    for _ in range(9):
        (answer,) = await answered(lane.admit([13]))
        assert isinstance(answer, Problem)
        lane.check(0.0)


async def test_what_waits_is_bounded_in_bytes() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=1), nbytes=size, max_bytes=100)
    assert lane.has_room_for([1000])  # of one alone there is never too much
    futures = lane.admit([10])
    await forwards.started()
    futures += lane.admit([60])  # what runs does not wait
    assert lane.has_room_for([20, 20])
    assert not lane.has_room_for([20, 21])
    futures[1].cancel()
    await asyncio.sleep(0)
    futures += lane.admit([90])
    assert not lane.has_room_for([11])
    forwards.end(2)
    await answered([futures[0], futures[2]])
    assert lane.has_room_for([100])


async def test_one_key_leaves_room_for_the_others() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=1), nbytes=size, max_bytes=100)
    flood, other = Owner("flood", ""), Owner("other", "")
    futures = lane.admit([1])
    await forwards.started()
    futures += lane.admit([70], QueuedRequest(owner=flood))
    assert lane.has_room_for([5], flood)
    futures += lane.admit([5], QueuedRequest(owner=flood))
    assert not lane.has_room_for([1], flood)
    assert lane.has_room_for([20], other)
    futures += lane.admit([20], QueuedRequest(owner=other))
    assert not lane.has_room_for([6], other)
    forwards.end(4)
    await answered(futures)


async def test_room_goes_first_to_the_key_of_which_least_waits() -> None:
    forwards = Forwards()
    lane, order = lane_of(forwards, nbytes=size), list[str]()
    futures = lane.admit([1])
    await forwards.started()
    futures += lane.admit([9], QueuedRequest(owner=Owner("flood", "")))
    room = 0

    async def waits(tenant: str) -> None:
        nonlocal room
        enter_context(ContextualCall(None, CallContext(tenant)))
        await lane.room.wait(lambda _: room > 0)
        room -= 1
        order.append(tenant)

    waiting = [asyncio.create_task(waits(name)) for name in ("flood", "flood", "other")]
    await asyncio.sleep(0)
    room = 3
    lane.room.recheck()
    await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
    assert order == ["other", "flood", "flood"]
    forwards.end(2)
    await answered(futures)


async def test_room_goes_to_those_that_came_first_and_not_to_newcomers() -> None:
    lane = lane_of(lambda batch: batch)
    room, order = 0, list[str]()

    async def waits(name: str) -> None:
        nonlocal room
        await lane.room.wait(lambda _: room > 0)
        room -= 1
        order.append(name)

    first, gone, last = (asyncio.create_task(waits(name)) for name in ("first", "gone", "last"))
    await asyncio.sleep(0)
    gone.cancel()
    room = 2
    lane.room.recheck()
    newcomer = asyncio.create_task(waits("newcomer"))
    await asyncio.wait_for(asyncio.gather(first, last), PATIENCE_S)
    assert order == ["first", "last"]
    room = 1
    lane.room.recheck()
    await asyncio.wait_for(newcomer, PATIENCE_S)
    assert not lane.room._waiting


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
