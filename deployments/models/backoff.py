"""Delays the next attempt to load a model that failed, so that not every request tries again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from deployments.seam.replicas import FailedModel

FIRST_S = 2.0
LONGEST_S = 60.0

LONGEST_REST_S = 10.0
"""So long requests may wait for the next attempt, instead of being refused."""


@dataclass(frozen=True, slots=True)
class FailedLoad:
    """Why a model failed, how often in a row, and until when it is not tried again."""

    reason: str
    times: int
    until: float


class Backoff:
    """The failures of models by name. After each in a row the wait doubles: ``FIRST_S`` seconds, up
    to ``LONGEST_S``."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._failures: dict[str, FailedLoad] = {}

    def failed(self, name: str, reason: str, times: int | None = None) -> None:
        """``name`` failed, ``times`` in a row; by default once more than before."""
        times = self.times(name) + 1 if times is None else times
        wait = min(LONGEST_S, FIRST_S * 2 ** min(times - 1, 10))
        self._failures[name] = FailedLoad(reason, times, self._clock() + wait)

    def forget(self, name: str) -> None:
        self._failures.pop(name, None)

    @property
    def failures(self) -> Mapping[str, FailedLoad]:
        """The last failure of each model that has not loaded since."""
        return self._failures

    def times(self, name: str) -> int:
        """Failures in a row."""
        failure = self._failures.get(name)
        return failure.times if failure else 0

    async def rest_after(self, reason: str, name: str) -> None:
        """If ``name`` failed for that reason and may soon be tried again, wait until then."""
        # More than once, because timers of uvloop go by whole milliseconds and may be early.
        while 0 < (seconds := self._seconds_left(reason, name)) <= LONGEST_REST_S:
            await self._sleep(seconds)

    def _seconds_left(self, reason: str, name: str) -> float:
        failure = self._failures.get(name)
        return failure.until - self._clock() if failure and failure.reason == reason else 0.0

    def reason(self, name: str) -> str | None:
        """Why ``name`` failed, while it may not be tried again; else ``None``."""
        failure = self._failures.get(name)
        return failure.reason if failure and self._clock() < failure.until else None


class LoadFailures:
    """The models whose last load failed and that are not ``loaded``, as they are at the moment."""

    def __init__(self, backoff: Backoff, loaded: Container[str]) -> None:
        self._backoff = backoff
        self._loaded = loaded

    def __iter__(self) -> Iterator[FailedModel]:
        for name, failure in self._backoff.failures.items():
            if name not in self._loaded:
                yield FailedModel(name, failure.reason, failure.times)
