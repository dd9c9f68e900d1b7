"""Records the stages of one call in a replica, if the request asked for its timeline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from deployments.seam.timings import CallTiming, Stage

MAX_STAGES = 32
"""Of one call. A call of thousands of texts has more forwards than anybody reads."""


class StageRecorder:
    """The stages of one call. Times are of ``time.monotonic``. May be used from any thread."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stages: list[Stage] = []
        self._left_out = 0

    def add(
        self, name: str, began: float, ended: float, *, items: int = 0, requests: int = 0
    ) -> None:
        """A stage has ended. Its place is that of its beginning."""
        if len(self._stages) == MAX_STAGES:
            self._left_out += 1
            return
        self._stages.append(Stage(name, began - self._began, ended - began, items, requests))

    def timing(self) -> CallTiming:
        """What was recorded until now, in the order in which stages began."""
        seconds = time.monotonic() - self._began
        stages = tuple(sorted(self._stages, key=lambda stage: stage.began))
        return CallTiming(seconds, stages, self._left_out)


_recorder_here: ContextVar[StageRecorder | None] = ContextVar("stage_recorder", default=None)


def recorder_here() -> StageRecorder | None:
    """The recorder of the call that runs here. ``None`` for most: nobody asked."""
    return _recorder_here.get()


def record_here() -> StageRecorder:
    """Record the call that runs here from now on to the end of its task."""
    recorder = StageRecorder()
    _recorder_here.set(recorder)
    return recorder


@contextmanager
def recorded() -> Iterator[StageRecorder]:
    """Record the call that is made within."""
    recorder = StageRecorder()
    token = _recorder_here.set(recorder)
    try:
        yield recorder
    finally:
        _recorder_here.reset(token)
