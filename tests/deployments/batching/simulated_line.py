"""A queue before a model on a simulated clock, and the best that any schedule could do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from deployments.batching.batch import Batch
from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.scheduler import BatchLimits, BatchScheduler, QueuedItem, QueuedRequest

FIXED_S, PER_TOKEN_S = 0.008, 0.0002
"""A small encoder on two cores: 8 ms a forward and 5,000 tokens a second."""


def cost(volume: float) -> float:
    return FIXED_S + PER_TOKEN_S * volume


@dataclass
class Line:
    """A queue, and what the tests want to know of the batches that are formed of it."""

    loop: asyncio.AbstractEventLoop
    forward_time: ForwardTimeModel = field(default_factory=ForwardTimeModel)
    limits: BatchLimits = field(default_factory=BatchLimits)
    scheduler: BatchScheduler[str, None] = field(default_factory=BatchScheduler)
    now: float = 0.0

    def ask(self, name: str, *sizes: int, max_items: int | None = None, kind: str = "") -> None:
        request = QueuedRequest(max_items)
        for size in sizes:
            result = self.loop.create_future()
            self.scheduler.add(QueuedItem(name, size, kind, request, result, self.now))

    def run(self) -> Batch[str, None] | None:
        """One forward, from start to end."""
        batch = self.scheduler.next_batch(self.limits, self.forward_time, self.now)
        if batch is not None:
            self.now += cost(batch.volume)
            self.scheduler.finished(batch)
        return batch

    def names(self) -> list[str]:
        batch = self.run()
        return [] if batch is None else [waiting.item for waiting in batch.items]

    def all_sizes(self) -> list[list[int]]:
        batches = iter(self.run, None)
        return [sorted(waiting.size for waiting in batch.items) for batch in batches]


def arrivals_run(loop: asyncio.AbstractEventLoop, arrivals: Iterable[float], each: float) -> float:
    """When items of one length are all answered by a model that always takes ``each`` seconds."""
    line, coming = Line(loop), deque(arrivals)
    now = 0.0
    while coming or len(line.scheduler):
        now = max(now, coming[0]) if not len(line.scheduler) else now
        while coming and coming[0] <= now:
            coming.popleft()
            line.ask("one", 8)
        batch = line.scheduler.next_batch(line.limits, line.forward_time, now)
        assert batch is not None
        now += each
        line.forward_time.learn(batch.volume, each)
        line.scheduler.finished(batch)
    return now


def ideal(sizes: list[int], limits: BatchLimits) -> float:
    """The least that any cuts of a sorted list can cost, by dynamic programming."""
    sizes = sorted(sizes)
    best = [0.0] + [float("inf")] * len(sizes)
    for end in range(1, len(sizes) + 1):
        for start in range(max(0, end - limits.max_items), end):
            took = cost((end - start) * sizes[end - 1])
            if took <= limits.max_seconds or end - start == 1:
                best[end] = min(best[end], best[start] + took)
    return best[-1]
