"""Failed forwards: which items fail, and what is tried again in parts."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from deployments.batching.scheduler import BatchLimits
from deployments.seam.problems import Problem
from tests.deployments.batching.lanes import answered, failing_in, lane_of


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
