"""How long a batch of one tenant may take while others use the model as well.

A forward cannot be interrupted. A long one of a tenant that floods would hold up the short requests
of another that come while it runs, however fair the order of batches is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from deployments.batching.tuning import (
    CONTENDED_FACTOR,
    CONTENDED_FIXED_TIMES,
    CONTENDED_PART,
    CONTENTION_S,
    REMEMBERED_S,
)
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
            self._recent = {name: each for name, each in recent if now - each.at <= REMEMBERED_S}

    def max_seconds(self, owner: Owner, fixed: float, now: float) -> float:
        """The bound of a batch of ``owner``; infinite if no other tenant was there lately.

        It may take about as long as what another tenant wanted, longer the longer that one has
        been away, and always a multiple of ``fixed``, the time that a forward over nothing takes.
        """
        others = (
            max(CONTENDED_FACTOR * each.work, CONTENDED_PART * (now - each.at))
            for each in self._others(owner, now, REMEMBERED_S)
        )
        return max(CONTENDED_FIXED_TIMES * fixed, min(others, default=math.inf))

    def others_want(self, owner: Owner, now: float) -> float:
        """The least that another tenant wanted lately; infinite if there was none."""
        others = self._others(owner, now, CONTENTION_S)
        return min((each.work for each in others), default=math.inf)

    def _others(self, owner: Owner, now: float, within: float) -> Iterator[RecentDemand]:
        for name, each in self._recent.items():
            if name != owner.tenant and each.work and now - each.at <= within:
                yield each
