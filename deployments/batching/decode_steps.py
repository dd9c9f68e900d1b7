"""A batch that takes many steps, one token each: who still wants it, and whether it moves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any

from deployments.batching.scheduler import QueuedItem


class DecodeSteps:
    """What the model's thread reports and asks at each step of one batch.

    The thread calls :meth:`begin`, :meth:`step` and :meth:`waiting`, the event loop the rest.
    ``waiting`` says of which kinds the items are that wait for the model meanwhile.
    """

    def __init__(
        self,
        rows: Sequence[QueuedItem[Any, Any]],
        clock: Callable[[], float],
        waiting: Callable[[], Collection[Hashable]] = tuple,
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._closed = False
        self.waiting = waiting
        self.taken = 0
        self.moved = clock()  # when it began, or ended its last step

    def begin(self, rows: Sequence[QueuedItem[Any, Any]]) -> None:
        """``rows`` are computed from now on: all of the batch, or one that is tried again."""
        self._rows, self.taken, self.moved = rows, 0, self._clock()

    def step(self) -> list[bool]:
        """Report one more step; for each row whether its answer is still wanted."""
        self.taken, self.moved = self.taken + 1, self._clock()
        return [self._wants(row) for row in self._rows]

    def close(self) -> None:
        """Nobody wants any row any more."""
        self._closed = True

    def _wants(self, row: QueuedItem[Any, Any]) -> bool:
        return not (self._closed or row.result.done() or self.moved > row.deadline)
