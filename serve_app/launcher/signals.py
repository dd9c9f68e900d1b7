"""Handles Ctrl-C, SIGTERM and SIGHUP: the first one stops the launcher, later ones hurry it."""

import signal
from threading import Event
from types import FrameType, TracebackType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """A context in which the first signal raises `KeyboardInterrupt` in the main thread.

    After that, or after `disarm`, signals raise nothing, so that no exception interrupts the
    shutdown; the second signal sets `hurry`, which the shutdown looks at. With `armed=False` the
    first signal raises only once `arm` is called.
    """

    def __init__(self, armed: bool = True) -> None:
        self.first: int | None = None
        self.hurry = Event()
        self._armed = armed
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        for number in STOPPING:
            self._previous[number] = signal.signal(number, self._received)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def arm(self) -> None:
        """From now on the first signal raises `KeyboardInterrupt`; at once if it came before."""
        self._armed = True
        if self.first is not None:
            self._armed = False
            raise KeyboardInterrupt

    def disarm(self) -> None:
        """From now on a signal raises nothing."""
        self._armed = False

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.first is not None:
            self.hurry.set()
            return
        self.first = number
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt
