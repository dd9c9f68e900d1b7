"""One request in an engine's scheduler, and who has how many of the slots."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from deployments.engine.sequence import Sequence
from deployments.engine.tuning import (
    DUE_S_PER_TOKEN,
    LONG_TOKENS,
    NEW_REQUEST_CREDIT,
    PREEMPTION_QUANTUM,
    SLOT_QUANTUM,
)
from deployments.models.fair_shares import FairShares, Owner

Rank: TypeAlias = tuple[object, ...]


@dataclass(slots=True, eq=False)
class ScheduledRequest:
    """The sequences of one request, which is ``owner``'s.

    ``served`` counts the tokens decoded for them, on top of what all others of the same owner had
    when it arrived; ``served_at_first`` is what it had then, and ``served_before`` what it had when
    it last came to have a slot. ``allowed`` is what it may decode in all. It is ``new`` until its
    first token. ``round_robin_index`` counts the calls of :meth:`Scheduler.next` that chose it.
    """

    owner: Owner
    arrived_s: float
    served_at_first: int
    served: int
    served_before: int
    allowed: int = 0
    new: bool = True
    waiting: deque[Sequence] = field(default_factory=deque)
    running: list[Sequence] = field(default_factory=list)
    round_robin_index: int = 0

    @property
    def due_s(self) -> float:
        """Its place in the queue: a longer one gives way to those that come a little later."""
        return self.arrived_s + DUE_S_PER_TOKEN * min(self.allowed, LONG_TOKENS)

    @property
    def served_in_slot(self) -> int:
        """What it has had since it last came to have a slot."""
        return self.served - self.served_before

    @property
    def had_its_turn(self) -> bool:
        """Whether it has had enough to be preempted for a new one of the same owner. A long one
        soon has. A short one comes to its end, and if it was preempted it is not the first to go
        again."""
        had = self.served - self.served_at_first
        is_long = self.allowed - had >= PREEMPTION_QUANTUM
        turn = NEW_REQUEST_CREDIT if is_long else SLOT_QUANTUM
        return had >= PREEMPTION_QUANTUM or self.served_in_slot >= turn


class SlotShares:
    """The slots that tenants, their fairness ids and requests have.

    ``running`` has the request of each running sequence. ``shares`` counts the work that was done
    for each owner.
    """

    def __init__(self, running: Iterable[ScheduledRequest], shares: FairShares) -> None:
        self.requests = Counter(running)
        self._shares = shares
        self._is_one = shares.active_owners <= 1
        self._tenants: Counter[str] = Counter()
        self._owners: Counter[Owner] = Counter()
        if not self._is_one:
            for request, slots in self.requests.items():
                self._tenants[request.owner.tenant] += slots
                self._owners[request.owner] += slots

    def of_tenant(self, owner: Owner) -> int:
        """The slots of the owner's tenant."""
        return self.requests.total() if self._is_one else self._tenants[owner.tenant]

    def rank(self, request: ScheduledRequest, least: int) -> Rank:
        """The sort key: the request with the lowest rank is admitted next.

        ``least`` is what the least served waiting request of its owner had.
        """
        level = (request.served - least) // PREEMPTION_QUANTUM
        own = (len(request.running), level, request.due_s)
        if self._is_one:
            return own
        owner = request.owner
        tenant, share = self._shares.rank(owner)
        slots = (self._tenants[owner.tenant] + 1) / owner.weight
        return slots, tenant, self._owners[owner], share, *own

    def excess(self, request: ScheduledRequest) -> Rank:
        """The sort key: the request with the highest one is preempted first."""
        own = (self.requests[request], request.served_in_slot, request.due_s)
        if self._is_one:
            return own
        owner = request.owner
        tenant, share = self._shares.served(owner)
        slots = self._tenants[owner.tenant] / owner.weight
        return slots, tenant, self._owners[owner], share, *own

    def loses_slot(self, donor: ScheduledRequest, claimant: ScheduledRequest) -> bool:
        """Whether a running request loses one of its slots to a waiting one.

        Slots are shared equally among tenants, by their weights; what one has is shared among its
        fairness ids, and then among requests. Where slots cannot be shared equally, one loses its
        last slot, or that which it has more, to another that was served less. To a new request of
        the same owner it loses it sooner.
        """
        theirs, ours = donor.owner, claimant.owner
        may_be_first = claimant.new
        if theirs == ours:
            slots, claimed = self.requests[donor], len(claimant.running)
            is_more, may_swap = slots >= claimed + 2, not claimed
            ahead: float = donor.served - claimant.served
            may_be_first &= donor.had_its_turn
        elif theirs.tenant == ours.tenant:
            slots, claimed = self._owners[theirs], self._owners[ours]
            is_more, may_swap = slots >= claimed + 2, slots > claimed
            ahead = self._shares.served(theirs)[1] - self._shares.served(ours)[1]
        else:
            slots, claimed = self._tenants[theirs.tenant], self._tenants[ours.tenant]
            is_more = (slots - 1) / theirs.weight >= (claimed + 1) / ours.weight
            may_swap = slots / theirs.weight > claimed / ours.weight
            ahead = self._shares.served(theirs)[0] - self._shares.served(ours)[0]
        is_first = may_be_first and not claimed
        lead = NEW_REQUEST_CREDIT if is_first else PREEMPTION_QUANTUM
        return is_more or (may_swap and ahead >= lead)
