"""Measures in which part of the time the forwards of a model run, and what ends their batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable

from deployments.metrics.binding_limit import BatchEnd

WINDOW_S = 10.0
"""The seconds up to now that count."""

STEP_S = 1.0


class BusyTime:
    """The busy part of the last seconds, of ``concurrency`` forwards that may run at a time."""

    def __init__(self, concurrency: int, clock: Callable[[], float]) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._began: dict[Hashable, float] = {}
        self._seconds = 0.0
        self._marks = deque([(clock(), 0.0)])

    def begin(self, forward: Hashable) -> None:
        self._began[forward] = self._clock()

    def end(self, forward: Hashable) -> None:
        self._seconds += self._clock() - self._began.pop(forward)

    def fraction(self) -> float:
        """Between 0 and 1. To be read every few seconds: readings limit the time that counts."""
        now = self._clock()
        seconds = self._seconds + sum(now - began for began in self._began.values())
        while len(self._marks) > 1 and self._marks[1][0] <= now - WINDOW_S:
            self._marks.popleft()
        at, before = self._marks[0]
        if now - self._marks[-1][0] >= STEP_S:
            self._marks.append((now, seconds))
        if now <= at:
            return 0.0
        return min(1.0, (seconds - before) / (now - at) / self._concurrency)


class RecentBatches:
    """What kept the next item out of each batch of the last seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: deque[tuple[float, BatchEnd | None]] = deque()

    def add(self, ended_by: BatchEnd | None) -> None:
        self._ends.append((self._clock(), ended_by))
        self._forget()

    def ends(self) -> list[BatchEnd | None]:
        self._forget()
        return [end for _, end in self._ends]

    def _forget(self) -> None:
        oldest = self._clock() - WINDOW_S
        while self._ends and self._ends[0][0] < oldest:
            self._ends.popleft()
