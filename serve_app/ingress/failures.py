"""A negative cache: failed model lookups are remembered briefly.

So many requests for one name cost one inspection.
"""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from serve_app.ingress.errors import ServiceError

TTL_S = 2.0
MAX_NAMES = 256

Lookup: TypeAlias = tuple[str, frozenset[str]]


class RecentFailures:
    """Remembers for ``TTL_S`` seconds that a name has no model, or the error of its lookup.

    ``families`` are those that the lookup was restricted to: another one may end otherwise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[Lookup, tuple[float, ServiceError | None]] = OrderedDict()

    def note(
        self, name: str, error: ServiceError | None, families: frozenset[str] = frozenset()
    ) -> None:
        """``name`` failed with ``error``; ``None`` means that there is no such model."""
        self._failures[name, families] = (self._clock() + TTL_S, error)
        self._failures.move_to_end((name, families))
        while len(self._failures) > MAX_NAMES:
            self._failures.popitem(last=False)

    def forget(self, name: str) -> None:
        for lookup in [each for each in self._failures if each[0] == name]:
            del self._failures[lookup]

    def known_missing(self, name: str, families: frozenset[str] = frozenset()) -> bool:
        """Whether there was no such model a moment ago. Raises the error that there was."""
        until, error = self._failures.get((name, families), (0.0, None))
        if self._clock() >= until:
            self._failures.pop((name, families), None)
            return False
        if error is not None:
            raise copy.copy(error)  # a new one, since tracebacks grow with each raise
        return True
