"""How many sequences of one tenant may run while others use the engine as well.

Every running sequence makes a decode step longer, on a CPU by much and on a GPU by little. With all
slots that others leave free, a tenant that floods would slow their texts down.
"""

from __future__ import annotations

import math

from deployments.batching.contention import Contention
from deployments.engine.step_times import StepTimes
from deployments.engine.tuning import CONTENDED_STEP_FACTOR
from deployments.models.fair_shares import Owner


class RowBound:
    """Bounds a tenant's running sequences by the expected time of a decode step.

    A step, with its part of the prefills, may take ``CONTENDED_STEP_FACTOR`` times as long as it
    would with a tenant that wants no more than the other one does. While it is not known how long
    that is, half as many may run as in the smallest steps so far, until it is.
    """

    def __init__(self) -> None:
        self._step_times = StepTimes()
        self._contention = Contention()

    def learn(self, rows: int, seconds: float, *, prefilled: bool = False) -> None:
        """A step of so many running sequences took ``seconds``. Some were ``prefilled`` in it."""
        if rows:
            self._step_times.learn(rows, seconds, prefilled=prefilled)

    def wanted(self, owner: Owner, sequences: int, now: float) -> None:
        """So many sequences of the owner's tenant wait or run now."""
        self._contention.wanted(owner, sequences, now)

    def max_rows(self, owner: Owner, now: float) -> float:
        """The sequences of the owner's tenant that may run; infinite while nobody else is there."""
        others = self._contention.others_want(owner, now)
        if math.isinf(others):
            return math.inf
        equal = others * max(1.0, owner.weight)
        times = self._step_times
        rows = times.fewest / 2
        if times.fewest <= others + equal:
            rows = times.rows_within(CONTENDED_STEP_FACTOR * times.seconds(others + equal))
        return max(equal, rows if math.isinf(rows) else math.floor(rows - others))
