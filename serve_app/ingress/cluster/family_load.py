"""The load of a family, as this process sees it: the calls in flight, and how fast they end."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from deployments.seam.call_context import ANONYMOUS
from serve_app.ingress.cluster.handle_router import HandleRouter

WINDOW_S = 10.0
MIN_WINDOW_S = 1.0
MIN_ENDED = 8
MAX_ENDED = 1024
"""The rate is that of the calls that ended in the last seconds under load: at least so many, and at
most so many. A shorter time alone says nothing: twenty streams whose clients leave within the same
moment end one after another, and none of them writes a token in between."""

MIN_UNITS = 1e-6
"""Less work than that is what rounding leaves of none."""

MAX_RETRY_S = 60

PLACES_PER_FREE = 4
"""One tenant alone gets four fifths of the places, and two get four ninths each."""


class Tenant(NamedTuple):
    """Whose calls they are, and the weight of its share."""

    name: str = ANONYMOUS
    weight: float = 1.0


NO_TENANT = Tenant()


class CallInFlight(NamedTuple):
    """When a call began, by the time and by the clock of the load, what all calls had told by then,
    whose it is, and its work, if that was known when it came."""

    began: float
    loaded_s: float
    told: float
    tenant: str
    units: float | None


class EndedCall(NamedTuple):
    """The part of a call that was done under load, and when that ended, by the clock of the load.

    ``units`` is its work, and ``whole`` that part of a call; 0 if it was cut short. ``untold`` is
    the work that was not told while it ran, and ``told`` what all calls had told by then.
    ``began`` and ``told_before`` are the clock and what was told when it began.
    """

    began: float
    told_before: float
    at: float
    units: float
    whole: float
    untold: float
    told: float


class FamilyLoad:
    """The calls of this process to one family.

    ``parallel`` is how many the family works on at the same time, at least; more of them wait, or
    slow each other down. Only while there are as many is the rate of work measured: below that it
    says how much was asked for, and not how much can be done. Work is in units: tokens to write,
    texts, or calls, the same ones for all calls of a family. ``max_in_flight`` gives the bound of
    the calls at this moment, ``None`` if there is none.

    The family shares its time out between tenants by their weights. So what one of them waits for
    is its own calls, and one that floods the family fills its own part of the places.
    """

    def __init__(
        self,
        parallel: Callable[[], int],
        max_in_flight: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parallel = parallel
        self._max_in_flight = max_in_flight
        self._clock = clock
        self.in_flight = 0
        self._of_tenant = Counter[str]()
        self._vague = Counter[str]()  # those of each tenant whose work is not known
        self._known: dict[str, float] = {}  # the work of its others
        self._weights: dict[str, float] = {}
        self.least_units: float | None = None
        """Of calls whose work was known when they came."""
        self.usual_units = 1.0
        """The mean work of calls, as far as those that ended tell."""
        self._loaded_s = 0.0  # the clock of the load: it stands still while fewer are in flight
        self._read_at = clock()
        self._ended: deque[EndedCall] = deque()
        self._units = 0.0
        self._whole = 0.0
        self._untold = 0.0
        self._told = 0.0  # under load, since the start
        self._was_under_load = False
        self._rate_before: float | None = None  # the rate until the load came back last
        self._ended_since = 0

    def begin(self, tenant: Tenant = NO_TENANT, units: float | None = None) -> CallInFlight:
        """A call has come, of so many ``units`` of work, if that is known."""
        self._tick()
        name = tenant.name
        self.in_flight += 1
        self._of_tenant[name] += 1
        self._vague[name] += units is None
        self._known[name] = self._known.get(name, 0.0) + (units or 0.0)
        self._weights[name] = tenant.weight
        return CallInFlight(self._read_at, self._loaded_s, self._told, name, units)

    def withdraw(self, call: CallInFlight) -> None:
        """A call has failed, which says nothing about how fast the family is."""
        self._tick()
        self.in_flight -= 1
        name = call.tenant
        self._of_tenant[name] -= 1
        self._vague[name] -= call.units is None
        self._known[name] -= call.units or 0.0
        if not self._of_tenant[name]:
            del self._of_tenant[name], self._vague[name], self._known[name], self._weights[name]

    def seconds_since(self, call: CallInFlight) -> float:
        """How long ago a call began."""
        return self._clock() - call.began

    def wrote(self, units: float) -> None:
        """A call in flight has done so much of its work."""
        if self._tick():
            self._told += units

    def end(
        self,
        call: CallInFlight,
        units: float,
        *,
        whole: bool,
        exact: bool = False,
        told: float = 0.0,
    ) -> None:
        """A call has ended, after so many units of work; not ``whole`` if it was cut short.

        ``exact`` if its work was known when it came. So many of its units were ``told`` before.
        """
        self.withdraw(call)
        if exact:
            self.least_units = min(units, self.least_units or units)
        seconds = self._read_at - call.began
        under_load = (self._loaded_s - call.loaded_s) / seconds if seconds > 0 else 0.0
        if not under_load:
            return
        untold = under_load * (units - told)
        self._ended_since += 1
        self._ended.append(
            EndedCall(
                began=call.loaded_s,
                told_before=call.told,
                at=self._loaded_s,
                units=under_load * units,
                whole=under_load * whole,
                untold=untold,
                told=self._told,
            )
        )
        self._count(self._ended[-1], 1)
        while len(self._ended) > MAX_ENDED or self._is_old():
            self._count(self._ended.popleft(), -1)
        # Of calls that were cut short only the beginning is known. Their work counts, and they do
        # not: so the mean is that of whole calls, unless only the shortest come to their end. Where
        # nothing at all was done, nothing is known of what calls usually are.
        if self._units > MIN_UNITS:
            self.usual_units = self._units / max(1.0, self._whole)

    def is_full_for(self, tenant: Tenant = NO_TENANT) -> bool:
        """Whether as many calls wait as may, or as many of this tenant beside a few free places.

        Where there are tenants, one may have ``PLACES_PER_FREE`` times as many calls as places are
        free (dynamic thresholds: Choudhury and Hahne, 1998).
        """
        limit = self._max_in_flight()
        if limit is None:
            return False
        free = limit - self.in_flight
        is_alone = tenant.name == NO_TENANT.name
        return free <= 0 or not (is_alone or self._of_tenant[tenant.name] < PLACES_PER_FREE * free)

    @property
    def is_under_load(self) -> bool:
        """Whether as many calls are in flight as the family works on at a time."""
        return self.in_flight > 0 and self.in_flight >= self._parallel()

    def seconds_for(self, units: float, tenant: Tenant = NO_TENANT) -> float:
        """How long a further call of so much work would take, if those in flight share the family.

        Until it ends each call of its tenant has as much done as it has, or comes to its own end;
        and when the work of all is done, so is this. 0 while nothing waits, or nothing is known.
        """
        under_load, rate = self._tick(), self._rate()
        if not under_load or rate is None:
            return 0.0
        others = sum(each for name, each in self._weights.items() if name != tenant.name)
        share = tenant.weight / (tenant.weight + others)
        asked = {name: self._asked(name) for name in self._of_tenant}
        own = min(self._of_tenant[tenant.name] * units, asked.get(tenant.name, 0.0))
        return min((own + units) / share, sum(asked.values()) + units) / rate

    @property
    def retry_after_s(self) -> int:
        """When those that wait now will be done: whole seconds, from 1 to ``MAX_RETRY_S``."""
        self._tick()
        rate = self._rate()
        waiting = max(1, self.in_flight - self._parallel())
        seconds = 1.0 if rate is None else waiting * self.usual_units / rate
        return max(1, math.ceil(min(seconds, MAX_RETRY_S)))

    def _asked(self, tenant: str) -> float:
        """The work of a tenant's calls in flight, as far as it is known."""
        return self._known[tenant] + self._vague[tenant] * self.usual_units

    def _rate(self) -> float | None:
        """Units a second under load; ``None`` until enough calls have ended.

        Calls in flight have done a part of their work that is not counted yet; in return, all the
        work counts of those that were in flight when the measured time began. Where the load has
        just come back there were none of these. So until enough calls have ended again, the rate is
        no less than before, unless they take longer than all that they ask for would.
        """
        rate = self._measured_rate()
        if rate is None or self._rate_before is None or self._ended_since >= MIN_ENDED:
            return rate
        first = self._ended[0]
        done = self._untold + self._told - first.told_before
        asked = sum(self._asked(name) for name in self._of_tenant)
        return max(rate, min(self._rate_before, (done + asked) / (self._loaded_s - first.began)))

    def _measured_rate(self) -> float | None:
        """The work of calls that ended, and what others told, over the time that it took."""
        if len(self._ended) < MIN_ENDED:
            return None
        first = self._ended[0]
        seconds = self._loaded_s - first.at
        work = self._untold - first.untold + self._told - first.told
        rate = work / seconds if seconds > 0 else 0.0
        if seconds < MIN_WINDOW_S or work < MIN_UNITS:
            since = self._untold + self._told - first.told_before
            rate = max(rate, since / (self._loaded_s - first.began))
        return max(rate, 1e-9)

    def _tick(self) -> bool:
        """Move the clock on; whether the family is under load until now."""
        now = self._clock()
        under_load = self.is_under_load
        if under_load:
            if not self._was_under_load:
                self._rate_before, self._ended_since = self._measured_rate(), 0
            self._loaded_s += now - self._read_at
        self._was_under_load = under_load
        self._read_at = now
        return under_load

    def _is_old(self) -> bool:
        return len(self._ended) > MIN_ENDED and self._loaded_s - self._ended[1].at > WINDOW_S

    def _count(self, call: EndedCall, sign: int) -> None:
        self._units += sign * call.units
        self._whole += sign * call.whole
        self._untold += sign * call.untold


def family_load(router: HandleRouter, parallel: int) -> FamilyLoad:
    """The load of a family whose replicas, each for ``parallel`` calls, ``router`` knows."""
    return FamilyLoad(lambda: parallel * router.replicas, lambda: router.max_requests)
