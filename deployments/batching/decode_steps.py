"""Progress of a batch that takes many forwards, one for each token that it writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Protocol


class Row(Protocol):
    """One row of a batch."""

    def is_wanted(self, now: float) -> bool:
        """Whether a caller still waits for its answer."""
        ...


class DecodeSteps:
    """The state of one batch between its decode steps: progress, cancelled and waiting items.

    The model's thread calls :meth:`begin`, :meth:`step` and ``waiting_kinds``, the event loop the
    rest. ``waiting_kinds`` gives the kinds of the items that wait for the model meanwhile.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        clock: Callable[[], float],
        waiting_kinds: Callable[[], Collection[Hashable]] = tuple,
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._closed = False
        self.waiting_kinds = waiting_kinds
        self.taken = 0
        self.last_progress = clock()
        """When the batch began or ended its last step."""

    def begin(self, rows: Sequence[Row]) -> None:
        """``rows`` are computed from now on: the whole batch, or a part that is tried again."""
        self._rows, self.taken, self.last_progress = rows, 0, self._clock()

    def step(self) -> list[bool]:
        """Report one more step; for each row whether its answer is still wanted."""
        self.taken, self.last_progress = self.taken + 1, self._clock()
        return [not self._closed and row.is_wanted(self.last_progress) for row in self._rows]

    def close(self) -> None:
        """From now on no row is wanted."""
        self._closed = True
