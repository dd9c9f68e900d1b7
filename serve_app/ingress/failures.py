"""Names that led nowhere a moment ago, so that many requests for one of them cost one attempt."""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Callable

from serve_app.ingress.errors import ServiceError

REMEMBERED_S = 2.0
MAX_NAMES = 256


class RecentFailures:
    """For ``REMEMBERED_S`` seconds each: the error of a name, or that there is no such model."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, ServiceError | None]] = OrderedDict()

    def note(self, name: str, error: ServiceError | None) -> None:
        """``name`` failed with ``error``, or it is the name of nothing."""
        self._failures[name] = (self._clock() + REMEMBERED_S, error)
        self._failures.move_to_end(name)
        while len(self._failures) > MAX_NAMES:
            self._failures.popitem(last=False)

    def forget(self, name: str) -> None:
        self._failures.pop(name, None)

    def is_nothing(self, name: str) -> bool:
        """Whether there was no such model a moment ago. Raises the error that there was."""
        until, error = self._failures.get(name, (0.0, None))
        if self._clock() >= until:
            self._failures.pop(name, None)
            return False
        if error is not None:
            raise copy.copy(error)  # a new one, since tracebacks grow with each raise
        return True
