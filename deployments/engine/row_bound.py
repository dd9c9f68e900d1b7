"""How many sequences of one tenant may run while others use the engine as well.

Every running sequence makes a decode step longer, on a CPU by much and on a GPU by little. With all
slots that others leave free, a tenant that floods would slow their texts down.
"""

from __future__ import annotations

import math

from deployments.batching.contention import Contention
from deployments.batching.forward_time import ForwardTimeModel
from deployments.engine.tuning import CONTENDED_STEP_FACTOR
from deployments.models.fair_shares import Owner


class RowBound:
    """Bounds a tenant's running sequences by the expected time of a decode step.

    A step may take ``CONTENDED_STEP_FACTOR`` times as long as it would with a tenant that wants no
    more than the other one does. Until it is known what a row costs there is no bound.
    """

    def __init__(self) -> None:
        self._step_time = ForwardTimeModel()
        self._contention = Contention()

    def learn(self, rows: int, seconds: float) -> None:
        """A step of so many running sequences took ``seconds``."""
        if rows:
            self._step_time.learn(rows, seconds)

    def wanted(self, owner: Owner, sequences: int, now: float) -> None:
        """So many sequences of the owner's tenant wait or run now."""
        self._contention.wanted(owner, sequences, now)

    def max_rows(self, owner: Owner, now: float) -> float:
        """The sequences of the owner's tenant that may run; infinite while nobody else is there."""
        others = self._contention.others_want(owner, now)
        if math.isinf(others):
            return math.inf
        equal = others * max(1.0, owner.weight)
        seconds = CONTENDED_STEP_FACTOR * self._step_time.seconds(others + equal)
        rows = self._step_time.volume_within(seconds) - others
        return max(equal, rows if math.isinf(rows) else math.floor(rows))
