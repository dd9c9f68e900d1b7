"""When a lane fails its health check: hanging forwards, lost devices, models that always fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
import torch

from deployments.batching.decode_steps import DecodeSteps
from deployments.seam.problems import Problem
from tests.deployments.batching.lanes import Clock, answered, failing_in, lane_of
from tests.deployments.forwards import PATIENCE_S, Forwards


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
