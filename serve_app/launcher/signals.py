"""Ctrl-C, SIGTERM and SIGHUP: the first ends the launcher's work, the next ones hurry it."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Within its `with` block the first signal raises `KeyboardInterrupt` in the main thread.

    After it, or after `disarm`, signals only count: what takes things down is never cut short by
    an exception, it asks `hurry`.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self._armed = True
        self._stopping = False
        self._hurry = threading.Event()
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

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

    def disarm(self) -> None:
        """From now on a signal raises nothing."""
        self._armed = False

    def hurry(self) -> bool:
        """Whether someone asked again while things were being taken down."""
        return self._hurry.is_set()

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.first is not None:
            self._hurry.set()
            return
        self.first = number
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt
