"""Counts models that died while they were loaded, as when the process of their engine ended."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_LOADS = 2
"""Loads that one request may wait for. A model that died again before the request had used it may
have died of others' requests."""

FORGOTTEN_S = 300.0
"""A model that has run for this long since it died counts as one that never died."""

MAX_ATTEMPTS = 4
"""Deaths and failed loads in a row after which another replica has to try."""

REASON = "its engine stopped"


class ModelLost(Exception):
    """A pinned model died, and loading it again did not help."""


class CrashCounter:
    """How often each model died lately. ``missing`` are dead models that are not loaded again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._crashes: dict[str, tuple[int, float]] = {}
        self.missing: set[str] = set()

    def count(self, name: str) -> int:
        """Count one more death; how many there were in a row."""
        times = self.times(name) + 1
        self._crashes[name] = times, self._clock()
        self.missing.add(name)
        return times

    def times(self, name: str) -> int:
        """Deaths in a row."""
        times, last = self._crashes.get(name, (0, 0.0))
        return times if self._clock() - last < FORGOTTEN_S else 0
