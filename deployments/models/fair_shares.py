"""Shares work between tenants, and the part of each tenant between its fairness ids.

This is start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), which "Fairness in Serving
Large Language Models" (Sheng et al., OSDI 2024) calls the virtual token counter. Every owner has a
counter of the work that was done for it, divided by its weight; the lowest one is served next. An
owner that comes back from idle has at least what the least served active one has: what it did not
use is not saved up for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from deployments.seam.call_context import ANONYMOUS

MAX_SHARES = 256
"""Fairness ids of one tenant that are told apart at a time; those beyond share one."""

OTHERS = "(others)"


class Owner(NamedTuple):
    """Whom work is done for: a tenant, and the part of it that one fairness id has."""

    tenant: str
    share: str
    weight: float = 1.0


NOBODY = Owner(ANONYMOUS, "")


class ServedCounter:
    """The virtual counter of one owner, of which ``active`` requests wait or run."""

    __slots__ = ("active", "last_served", "served")

    def __init__(self, served: float) -> None:
        self.served = served
        self.active = 0
        self.last_served = 0

    @property
    def rank(self) -> tuple[float, int]:
        """The lowest is served next; of equals the one that was served longest ago."""
        return self.served, self.last_served


class VirtualCounters:
    """The counters of owners by name. Idle ones are forgotten once nobody is behind them.

    The virtual time is what the least served active owner had. An idle owner with a counter above
    it keeps it, so that a short pause does not clear what it has had in excess. One that comes back
    begins up to ``credit`` below the virtual time, and so before those that have been active.
    ``forgotten`` is called with the names of those that are forgotten.
    """

    def __init__(
        self, credit: float = 0.0, forgotten: Callable[[str], object] = lambda name: None
    ) -> None:
        self._credit = credit
        self._forgotten = forgotten
        self._counters: dict[str, ServedCounter] = {}
        self._virtual_time = 0.0
        self._clock = count(1)

    def __len__(self) -> int:
        return len(self._counters)

    def __contains__(self, name: str) -> bool:
        return name in self._counters

    def __getitem__(self, name: str) -> ServedCounter:
        return self._counters[name]

    def begin(self, name: str) -> ServedCounter:
        """A request of ``name`` has come."""
        counter = self._counters.get(name)
        if counter is None or not counter.active:
            self._advance()
            start = self._virtual_time - self._credit
            counter = self._counters.setdefault(name, ServedCounter(start))
            counter.served = max(counter.served, start)
        counter.active += 1
        return counter

    def end(self, name: str) -> None:
        """A request of ``name`` has ended."""
        counter = self._counters[name]
        counter.active -= 1
        if not counter.active:
            self._advance()

    def charge(self, name: str, work: float) -> None:
        """Work was done for ``name``, by its weight."""
        counter = self._counters.get(name)
        if counter is not None:
            counter.served += work
            counter.last_served = next(self._clock)

    def _advance(self) -> None:
        """Move the virtual time on, and forget the idle owners that it has passed."""
        served = [each.served for each in self._counters.values() if each.active]
        if served:
            self._virtual_time = max(self._virtual_time, min(served))
        else:  # all are idle: nobody owes anybody anything
            self._virtual_time = max(
                (each.served for each in self._counters.values()), default=self._virtual_time
            )
        idle = [name for name, each in self._counters.items() if not each.active]
        for name in idle:
            if self._counters[name].served <= self._virtual_time - self._credit:
                del self._counters[name]
                self._forgotten(name)


class FairShares:
    """Counters of tenants, and within each tenant of its fairness ids. Not thread-safe.

    ``credit`` is that of :class:`VirtualCounters`.
    """

    def __init__(self, credit: float = 0.0) -> None:
        self._credit = credit
        self._active: Counter[Owner] = Counter()
        self._shares: dict[str, VirtualCounters] = {}
        self._tenants = VirtualCounters(credit, self._shares.pop)

    def __len__(self) -> int:
        """The tenants and fairness ids that are remembered."""
        return len(self._tenants) + sum(map(len, self._shares.values()))

    @property
    def active_owners(self) -> int:
        """The owners with requests that wait or run."""
        return len(self._active)

    def begin(self, owner: Owner) -> Owner:
        """A request of ``owner`` has come. Returns the owner that its work is counted for."""
        self._tenants.begin(owner.tenant)
        shares = self._shares.setdefault(owner.tenant, VirtualCounters(self._credit))
        if owner.share not in shares and len(shares) >= MAX_SHARES:
            owner = owner._replace(share=OTHERS)
        shares.begin(owner.share)
        self._active[owner] += 1
        return owner

    def end(self, owner: Owner) -> None:
        """A request of an ``owner`` that :meth:`begin` returned has ended."""
        self._active[owner] -= 1
        if not self._active[owner]:
            del self._active[owner]
        self._shares[owner.tenant].end(owner.share)
        self._tenants.end(owner.tenant)

    def charge(self, owner: Owner, work: float) -> None:
        """``work`` was done for ``owner``: seconds of forwards, or tokens."""
        self._tenants.charge(owner.tenant, work / owner.weight)
        shares = self._shares.get(owner.tenant)
        if shares is not None:
            shares.charge(owner.share, work)

    def served(self, owner: Owner) -> tuple[float, float]:
        """The counters of an active owner's tenant and of its fairness id within that."""
        return (
            self._tenants[owner.tenant].served,
            self._shares[owner.tenant][owner.share].served,
        )

    def rank(self, owner: Owner) -> tuple[tuple[float, int], tuple[float, int]]:
        """The sort key of an active owner: the lowest is served next."""
        return self._tenants[owner.tenant].rank, self._shares[owner.tenant][owner.share].rank
