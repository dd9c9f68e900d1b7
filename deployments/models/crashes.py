"""Models that stopped while they were loaded, such as by the end of their engine's process."""

from __future__ import annotations

import time
from collections.abc import Callable

FORGOTTEN_S = 300.0
"""A model that has run for this long since it died is as good as any other."""

MAX_ATTEMPTS = 4
"""Deaths and failed loads one after the other before another replica has to try."""

REASON = "its engine stopped"


class ModelLost(Exception):
    """A model that has to be there died, and loading it again did not help."""


class CrashCounter:
    """How often each model died lately. ``missing`` are those that are not loaded again yet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: dict[str, tuple[int, float]] = {}
        self.missing: set[str] = set()

    def died(self, name: str) -> int:
        """Note a death; how many there were one after the other."""
        times = self.times(name) + 1
        self._deaths[name] = times, self._clock()
        self.missing.add(name)
        return times

    def times(self, name: str) -> int:
        times, last = self._deaths.get(name, (0, 0.0))
        return times if self._clock() - last < FORGOTTEN_S else 0
