"""The scheduler: which sequences run, which wait, and which are preempted for others.

Slots and KV cache are shared fairly among tenants (API keys), by their weights; the part of each
among its fairness ids, and their parts among requests. A request may have many sequences (``n``
choices, a batch of prompts), which count as one here. Each gets equally many slots. Where there are
more requests than slots, each has turns of ``PREEMPTION_QUANTUM`` tokens, and those of the same
turn are admitted as they came, short ones a little sooner (a multi-level feedback queue, as in
FastServe: Wu et al., 2023). A new request is admitted at once where others have had their turn, or
enough of it: the one that was served most is preempted for it. New requests of one tenant do not go
before another tenant that was served less.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Listed
from heapq import nsmallest
from itertools import islice
from typing import Literal, TypeAlias

from deployments.engine.row_bound import RowBound
from deployments.engine.scheduled_request import ScheduledRequest, SlotShares
from deployments.engine.sequence import Sequence
from deployments.engine.tuning import MAX_CLAIMANTS, NEW_REQUEST_CREDIT, OVER_BOUND
from deployments.models.fair_shares import FairShares, Owner

Fits: TypeAlias = Callable[[Listed[Sequence]], bool]
"""Whether these sequences fit the KV cache together, each with its next token."""


class Scheduler:
    """The sequences of one engine, running in ``slots`` or waiting. Not thread-safe.

    At least one sequence runs, whatever it takes; more only as far as they fit. A preempted
    sequence waits in front of the others of its request.
    """

    def __init__(self, slots: int, fits: Fits, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = slots
        self._fits = fits
        self._clock = clock
        self._row_bound = RowBound()
        self._requests: dict[tuple[Owner, str], ScheduledRequest] = {}
        """By owner as well: clients choose the ids of their requests."""
        self._shares = FairShares(NEW_REQUEST_CREDIT)
        self._clocks: dict[Owner, int] = {}
        """What all requests of an owner that has some have had."""
        self._of_tenant = Counter[str]()
        """The sequences of each tenant that has some."""
        self._claimant: ScheduledRequest | None = None
        self._has_admitted = False  # since the last step
        self.running: list[Sequence] = []
        """In the order in which they were admitted."""

    @property
    def waiting(self) -> int:
        """How many sequences wait."""
        return sum(len(request.waiting) for request in self._requests.values())

    @property
    def starved_by(self) -> Literal["slots", "kv_cache"] | None:
        """What the waiting sequences lack, once no more can be admitted; ``None`` too where they
        only wait because their tenant has what it may have beside others."""
        if not self.waiting:
            return None
        if len(self.running) >= self._slots:
            return "slots"
        return "kv_cache" if self._ranked(self._slots_of(self.running)) else None

    @property
    def idle(self) -> bool:
        return not self._requests

    @property
    def sequences(self) -> list[Sequence]:
        """All sequences, the running ones first."""
        waiting = (each for request in self._requests.values() for each in request.waiting)
        return [*self.running, *waiting]

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        request = self._requests.get(_key(sequence))
        if request is None:
            owner = self._shares.begin(sequence.owner)
            others = [each.served for each in self._requests.values() if each.owner == owner]
            clock = max(self._clocks.get(owner, 0), min(others, default=0))
            self._clocks[owner] = clock
            served = clock - NEW_REQUEST_CREDIT
            request = ScheduledRequest(owner, self._clock(), served, served, served)
            self._requests[_key(sequence)] = request
        request.waiting.append(sequence)
        request.allowed += sequence.max_new_tokens
        self._of_tenant[request.owner.tenant] += 1

    def remove(self, sequence: Sequence) -> bool:
        """Forget a sequence, running, waiting or unknown; whether it was running."""
        request = self._requests.get(_key(sequence))
        if request is None:
            return False
        running = sequence in request.running
        if running:
            request.running.remove(sequence)
            self.running.remove(sequence)
        elif sequence in request.waiting:
            request.waiting.remove(sequence)
        else:
            return False
        tenant = request.owner.tenant
        self._of_tenant[tenant] -= 1
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]
        if not request.running and not request.waiting:
            del self._requests[_key(sequence)]
            self._shares.end(request.owner)
            if not any(each.owner == request.owner for each in self._requests.values()):
                del self._clocks[request.owner]
        return running

    def clear(self) -> list[Sequence]:
        """Forget all sequences; returns them."""
        sequences = self.sequences
        self._shares = FairShares(NEW_REQUEST_CREDIT)
        self._clocks.clear()
        self._of_tenant.clear()
        self._requests.clear()
        self.running.clear()
        return sequences

    def count(self, sequence: Sequence, units: int) -> None:
        """Count work for a sequence's request: a unit is a decoded token, or as much time."""
        request = self._requests.get(_key(sequence))
        if request is not None and units:
            request.served += units
            request.new = False
            self._shares.charge(request.owner, units)

    def stepped(self, rows: int, seconds: float) -> None:
        """A step of so many running sequences took ``seconds``."""
        prefilled = self._has_admitted or not all(each.generated for each in self.running)
        self._row_bound.learn(rows, seconds, prefilled=prefilled)
        self._has_admitted = False
        now = self._clock()
        for tenant, sequences in self._of_tenant.items():
            self._row_bound.wanted(Owner(tenant, ""), sequences, now)

    def served(self, sequence: Sequence) -> tuple[float, float, float]:
        """The work counted for the sequence's tenant, its fairness id and its request."""
        request = self._requests.get(_key(sequence))
        if request is None:
            return (0, 0, 0)
        return *self._shares.served(request.owner), request.served

    def admit(self) -> Sequence | None:
        """Move the next sequence for which there is room from waiting to running."""
        if len(self.running) >= self._slots:
            return None
        claimant, self._claimant = self._claimant, None
        for request in [claimant] if claimant and claimant.waiting else self._by_rank():
            if self._has_room(self.running, request.waiting[0]):
                if not request.running:
                    request.served_before = request.served
                sequence = request.waiting.popleft()
                request.running.append(sequence)
                self.running.append(sequence)
                self._has_admitted = True
                return sequence
        return None

    def preempt(self) -> list[Sequence]:
        """Move sequences that must make room from running to waiting; empty when none must.

        The next :meth:`admit` is for the request that they made room for.
        """
        victims = self._outgrown() or self._over_bound() or self._claimed()
        for victim in victims:
            request = self._requests[_key(victim)]
            request.running.remove(victim)
            request.waiting.appendleft(victim)
            self.running.remove(victim)
        return victims

    def next(self) -> Sequence | None:
        """For runners that decode one sequence a step: the next one of the least served request."""
        running = [each for each in self._requests.values() if each.running]
        if not running:
            return None
        request = min(
            running, key=lambda each: (self._shares.rank(each.owner), each.served, each.arrived_s)
        )
        request.round_robin_index += 1
        return request.running[request.round_robin_index % len(request.running)]

    def _by_rank(self) -> list[ScheduledRequest]:
        return self._ranked(self._slots_of(self.running))

    def _ranked(self, slots: SlotShares) -> list[ScheduledRequest]:
        """The waiting requests whose tenant may run one more sequence, in order."""
        waiting = [each for each in self._requests.values() if each.waiting]
        owners = {each.owner.tenant: each.owner for each in waiting}
        bounds = {
            tenant: self._row_bound.max_rows(owner, self._clock())
            for tenant, owner in owners.items()
        }
        waiting = [
            each for each in waiting if slots.of_tenant(each.owner) < bounds[each.owner.tenant]
        ]
        if len(waiting) < 2:
            return waiting
        least = dict[Owner, int]()
        for each in waiting:
            least[each.owner] = min(each.served, least.get(each.owner, each.served))
        return sorted(waiting, key=lambda each: slots.rank(each, least[each.owner]))

    def _has_room(self, running: list[Sequence], sequence: Sequence) -> bool:
        if not running:
            return True
        return len(running) < self._slots and self._fits([*running, sequence])

    def _outgrown(self) -> list[Sequence]:
        """Victims for want of KV cache, which every token makes fuller."""
        remaining, victims = list(self.running), list[Sequence]()
        while len(remaining) > 1 and not self._fits(remaining):
            slots = self._slots_of(remaining)
            victim = _youngest(slots.requests, slots, remaining)
            remaining.remove(victim)
            victims.append(victim)
        return victims

    def _over_bound(self) -> list[Sequence]:
        """Victims of tenants that run many more sequences than they may beside the others."""
        if len(self._of_tenant) < 2:
            return []
        tenants = {each.owner.tenant: each.owner for each in self._requests.values()}
        victims = list[Sequence]()
        for tenant, owner in tenants.items():
            bound = self._row_bound.max_rows(owner, self._clock())
            running = [each for each in self.running if each.owner.tenant == tenant]
            if len(running) > OVER_BOUND * bound:
                victims += running[int(bound) :]
        return victims

    def _claimed(self) -> list[Sequence]:
        """Victims whose slots a waiting request has a better claim to."""
        if not any(each.waiting for each in self._requests.values()):
            return []
        slots = self._slots_of(self.running)
        for request in self._claimants(slots):
            if self._has_room(self.running, request.waiting[0]):
                continue  # it will be admitted without a preemption
            victims = self._victims(request, slots)
            if victims:
                self._claimant = request
                return victims
        return []

    def _claimants(self, slots: SlotShares) -> Iterator[ScheduledRequest]:
        """The first of those that wait, and the shortest behind them: where the long prompts before
        it find no room, a short one may."""
        ranked = self._ranked(slots)
        new = [each for each in ranked if each.new]
        yield from new[:MAX_CLAIMANTS]
        later = new[MAX_CLAIMANTS:]
        yield from nsmallest(MAX_CLAIMANTS, later, lambda each: len(each.waiting[0].prompt_ids))
        yield from islice((each for each in ranked if not each.new), MAX_CLAIMANTS)

    def _victims(self, claimant: ScheduledRequest, slots: SlotShares) -> list[Sequence]:
        """Enough sequences of other requests to admit one of the claimant, or none."""
        remaining, victims = list(self.running), list[Sequence]()
        while not self._has_room(remaining, claimant.waiting[0]):
            if victims:
                slots = self._slots_of(remaining)
            donors = [
                donor
                for donor in slots.requests
                if donor is not claimant and slots.loses_slot(donor, claimant)
            ]
            if not donors:
                return []
            victim = _youngest(donors, slots, remaining)
            remaining.remove(victim)
            victims.append(victim)
        return victims

    def _slots_of(self, running: list[Sequence]) -> SlotShares:
        """Who has how many slots while these sequences run."""
        return SlotShares((self._requests[_key(each)] for each in running), self._shares)


def _key(sequence: Sequence) -> tuple[Owner, str]:
    return sequence.owner, sequence.request_id


def _youngest(
    donors: Iterable[ScheduledRequest], slots: SlotShares, running: list[Sequence]
) -> Sequence:
    """The last admitted sequence of the donor that runs most, or was served most."""
    most = max(donors, key=slots.excess)
    return next(each for each in reversed(running) if each in most.running)
