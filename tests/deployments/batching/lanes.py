"""Lanes over functions of the tests, on clocks that only the tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from deployments.batching.batch_runner import BatchedModel
from deployments.batching.device_failures import DeviceFailures
from deployments.batching.lane import Lane
from deployments.batching.scheduler import BatchLimits
from deployments.metrics.meter import Forward
from deployments.seam.problems import Problem
from tests.deployments.forwards import PATIENCE_S


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


def failing_in(bad: set[int], counts: list[int], error: Exception) -> Callable[..., Any]:
    """A model that fails where one of ``bad`` is in a batch, and writes down how large they are."""

    def forward(batch: Sequence[int]) -> Sequence[int | Problem]:
        counts.append(len(batch))
        if bad & set(batch):
            raise error
        return [item * 2 for item in batch]

    return forward
