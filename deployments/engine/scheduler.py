"""The scheduler: which sequences run, which wait, and which are preempted for others.

Slots and KV cache are shared fairly among requests. A request may have many sequences (``n``
choices, a batch of prompts), which count as one here. Requests get equally many slots. Where there
are more requests than slots, the least served one is admitted next. A new request goes first: it is
admitted at once, and the request that was served most is preempted for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Listed
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, TypeAlias

from deployments.engine.sequence import Sequence
from deployments.engine.tuning import MAX_CLAIMANTS, NEW_REQUEST_CREDIT, PREEMPTION_QUANTUM

Fits: TypeAlias = Callable[[Listed[Sequence]], bool]
"""Whether these sequences fit the KV cache together, each with its next token."""


@dataclass(slots=True, eq=False)
class _ScheduledRequest:
    """The sequences of one request.

    ``served`` counts the tokens decoded for them, on top of what all others had when it arrived.
    It is ``new`` until its first token. ``round_robin_index`` counts the calls of
    :meth:`Scheduler.next` that chose it.
    """

    arrived: int
    served: int
    new: bool = True
    waiting: deque[Sequence] = field(default_factory=deque)
    running: list[Sequence] = field(default_factory=list)
    round_robin_index: int = 0

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """The sort key: the request with the lowest rank is admitted next."""
        return len(self.running), not self.new, self.served, self.arrived


class Scheduler:
    """The sequences of one engine, running in ``slots`` or waiting. Not thread-safe.

    At least one sequence runs, whatever it takes; more only as far as they fit. A preempted
    sequence waits in front of the others of its request.
    """

    def __init__(self, slots: int, fits: Fits) -> None:
        self._slots = slots
        self._fits = fits
        self._requests: dict[str, _ScheduledRequest] = {}
        self._request_count = 0
        self._clock = 0
        self._claimant: _ScheduledRequest | None = None
        self.running: list[Sequence] = []
        """In the order in which they were admitted."""

    @property
    def waiting(self) -> int:
        """How many sequences wait."""
        return sum(len(request.waiting) for request in self._requests.values())

    @property
    def starved_by(self) -> Literal["slots", "kv_cache"] | None:
        """What the waiting sequences lack, once no more can be admitted."""
        if not self.waiting:
            return None
        return "slots" if len(self.running) >= self._slots else "kv_cache"

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
        request = self._requests.get(sequence.request_id)
        if request is None:
            self._request_count += 1
            served = (each.served for each in self._requests.values())
            self._clock = max(self._clock, min(served, default=0))  # what all others have had
            request = _ScheduledRequest(self._request_count, self._clock - NEW_REQUEST_CREDIT)
            self._requests[sequence.request_id] = request
        request.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """Forget a sequence, running, waiting or unknown; whether it was running."""
        request = self._requests.get(sequence.request_id)
        if request is None:
            return False
        running = sequence in request.running
        if running:
            request.running.remove(sequence)
            self.running.remove(sequence)
        elif sequence in request.waiting:
            request.waiting.remove(sequence)
        if not request.running and not request.waiting:
            del self._requests[sequence.request_id]
        return running

    def clear(self) -> list[Sequence]:
        """Forget all sequences; returns them."""
        sequences = self.sequences
        self._requests.clear()
        self.running.clear()
        return sequences

    def count(self, sequence: Sequence, units: int) -> None:
        """Count work for a sequence's request: a unit is a decoded token, or as much time."""
        request = self._requests.get(sequence.request_id)
        if request is not None and units:
            request.served += units
            request.new = False

    def served(self, sequence: Sequence) -> int:
        """The work counted for the sequence's request."""
        request = self._requests.get(sequence.request_id)
        return 0 if request is None else request.served

    def admit(self) -> Sequence | None:
        """Move the next sequence for which there is room from waiting to running."""
        if len(self.running) >= self._slots:
            return None
        claimant, self._claimant = self._claimant, None
        for request in [claimant] if claimant and claimant.waiting else self._by_rank():
            if self._has_room(self.running, request.waiting[0]):
                sequence = request.waiting.popleft()
                request.running.append(sequence)
                self.running.append(sequence)
                return sequence
        return None

    def preempt(self) -> list[Sequence]:
        """Move sequences that must make room from running to waiting; empty when none must.

        The next :meth:`admit` is for the request that they made room for.
        """
        victims = self._outgrown() or self._claimed()
        for victim in victims:
            request = self._requests[victim.request_id]
            request.running.remove(victim)
            request.waiting.appendleft(victim)
            self.running.remove(victim)
        return victims

    def next(self) -> Sequence | None:
        """For runners that decode one sequence a step: the next one of the least served request."""
        running = [each for each in self._requests.values() if each.running]
        if not running:
            return None
        request = min(running, key=lambda each: (each.served, each.arrived))
        request.round_robin_index += 1
        return request.running[request.round_robin_index % len(request.running)]

    def _by_rank(self) -> list[_ScheduledRequest]:
        waiting = (each for each in self._requests.values() if each.waiting)
        return sorted(waiting, key=lambda request: request.rank)

    def _has_room(self, running: list[Sequence], sequence: Sequence) -> bool:
        if not running:
            return True
        return len(running) < self._slots and self._fits([*running, sequence])

    def _outgrown(self) -> list[Sequence]:
        """Victims for want of KV cache, which every token makes fuller."""
        remaining, victims = list(self.running), list[Sequence]()
        while len(remaining) > 1 and not self._fits(remaining):
            victim = _youngest(self._donors(remaining), remaining)
            remaining.remove(victim)
            victims.append(victim)
        return victims

    def _claimed(self) -> list[Sequence]:
        """Victims whose slots a waiting request has a better claim to."""
        for request in self._claimants():
            if self._has_room(self.running, request.waiting[0]):
                continue  # it will be admitted without a preemption
            victims = self._victims(request)
            if victims:
                self._claimant = request
                return victims
        return []

    def _claimants(self) -> Iterator[_ScheduledRequest]:
        ranked = self._by_rank()
        yield from islice((each for each in ranked if each.new), MAX_CLAIMANTS)
        yield from islice((each for each in ranked if not each.new), MAX_CLAIMANTS)

    def _victims(self, claimant: _ScheduledRequest) -> list[Sequence]:
        """Enough sequences of other requests to admit one of the claimant, or none."""
        remaining, victims = list(self.running), list[Sequence]()
        while not self._has_room(remaining, claimant.waiting[0]):
            donors = {
                donor: count
                for donor, count in self._donors(remaining).items()
                if donor is not claimant and _loses_slot(donor, count, claimant)
            }
            if not donors:
                return []
            victim = _youngest(donors, remaining)
            remaining.remove(victim)
            victims.append(victim)
        return victims

    def _donors(self, running: list[Sequence]) -> dict[_ScheduledRequest, int]:
        """The requests of these sequences, and how many each has."""
        counts: dict[_ScheduledRequest, int] = {}
        for sequence in running:
            request = self._requests[sequence.request_id]
            counts[request] = counts.get(request, 0) + 1
        return counts


def _loses_slot(donor: _ScheduledRequest, count: int, claimant: _ScheduledRequest) -> bool:
    """Whether a request that runs ``count`` sequences loses one of its slots to ``claimant``."""
    if count >= len(claimant.running) + 2:
        return True
    if claimant.running:
        return False
    ahead = NEW_REQUEST_CREDIT if claimant.new else PREEMPTION_QUANTUM
    return donor.served - claimant.served >= ahead


def _youngest(donors: dict[_ScheduledRequest, int], running: list[Sequence]) -> Sequence:
    """The last admitted sequence of the request that runs most, or was served most."""
    most = max(donors, key=lambda request: (donors[request], request.served, request.arrived))
    return next(each for each in reversed(running) if each in most.running)
