"""How long a batch of one tenant may take while others use the model as well.

A forward cannot be interrupted. A long one of a tenant that floods would hold up the short requests
of another that come while it runs, however fair the order of batches is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deployments.batching.tuning import CONTENDED_FACTOR, CONTENTION_S
from deployments.models.fair_shares import Owner


@dataclass(frozen=True, slots=True)
class RecentDemand:
    """At ``at`` a tenant wanted so much work: seconds of a forward, or sequences that run."""

    at: float
    work: float


class Contention:
    """The tenants that used the model lately, and how much each wanted at a time."""

    def __init__(self) -> None:
        self._recent: dict[str, RecentDemand] = {}

    def wanted(self, owner: Owner, work: float, now: float) -> None:
        """The tenant of ``owner`` wants so much ``now``, with all it has."""
        self._recent[owner.tenant] = RecentDemand(now, work)
        if len(self._recent) > 1:
            recent = self._recent.items()
            self._recent = {name: each for name, each in recent if now - each.at <= CONTENTION_S}

    def max_seconds(self, owner: Owner, now: float) -> float:
        """The bound of a batch of ``owner``: about what the others wanted, and no more."""
        return CONTENDED_FACTOR * self.others_want(owner, now)

    def others_want(self, owner: Owner, now: float) -> float:
        """The least that another tenant wanted lately; infinite if there was none."""
        others = (
            each.work
            for name, each in self._recent.items()
            if name != owner.tenant and each.work and now - each.at <= CONTENTION_S
        )
        return min(others, default=math.inf)
