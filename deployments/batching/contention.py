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
    """At ``at`` a tenant had work waiting whose forward takes ``seconds``."""

    at: float
    seconds: float


class Contention:
    """The tenants that used the model lately, and how much each wanted at a time."""

    def __init__(self) -> None:
        self._recent: dict[str, RecentDemand] = {}

    def wanted(self, owner: Owner, seconds: float, now: float) -> None:
        """The batch of ``owner`` that begins ``now`` could take ``seconds``, with all it has."""
        self._recent[owner.tenant] = RecentDemand(now, seconds)
        if len(self._recent) > 1:
            recent = self._recent.items()
            self._recent = {name: each for name, each in recent if now - each.at <= CONTENTION_S}

    def max_seconds(self, owner: Owner, now: float) -> float:
        """The bound of a batch of ``owner``: about what the others wanted, and no more."""
        others = (
            each.seconds
            for name, each in self._recent.items()
            if name != owner.tenant and each.seconds and now - each.at <= CONTENTION_S
        )
        return CONTENDED_FACTOR * min(others, default=math.inf)
