"""Models that failed to load are not tried again by every request that comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_S = 2.0
LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class FailedLoad:
    reason: str
    times: int
    until: float


class Backoff:
    """Remembers why a model failed, for two seconds, then four, up to a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, FailedLoad] = {}

    def failed(self, name: str, reason: str, times: int | None = None) -> None:
        """``times`` in a row; one more than before when that is not given."""
        times = self.times(name) + 1 if times is None else times
        wait = min(LONGEST_S, FIRST_S * 2 ** min(times - 1, 10))
        self._failures[name] = FailedLoad(reason, times, self._clock() + wait)

    def forget(self, name: str) -> None:
        self._failures.pop(name, None)

    def times(self, name: str) -> int:
        failure = self._failures.get(name)
        return failure.times if failure else 0

    def reason(self, name: str) -> str | None:
        """Why ``name`` is not tried right now, or ``None`` when it may be."""
        failure = self._failures.get(name)
        return failure.reason if failure and self._clock() < failure.until else None
