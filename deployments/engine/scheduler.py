"""Which sequences decode: slots and KV memory go by turns of requests.

A request may have many sequences (``n`` choices, the prompts of a batch, the texts of a bulk
summary), which count as one here. The rules are those of fair queueing: requests get equally many
slots; where there are more requests than slots the least served one is next; and a request that is
new goes first, and gets a slot at once from the one that was served most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Listed
from dataclasses import dataclass, field
from itertools import islice

from deployments.engine.sequence import Sequence

QUANTUM = 256
"""How much more than a waiting request another one must have been served (in decoded tokens) to
lose its last slot to it. Short turns would cost more: a sequence that resumes is read again."""

HEAD_START = 16
"""Tokens that a new request may have before it counts as served as much as the others: until then
no other new request takes its slot."""

MAX_LOOKED_AT = 8
"""Waiting requests of each kind for which a step looks for a slot to take from others."""

Fits = Callable[[Listed[Sequence]], bool]
"""Whether these sequences, decoding together, fit the KV memory."""


@dataclass(slots=True, eq=False)
class _Request:
    """``served`` counts what its sequences got, on top of where the clock was when it came."""

    arrived: int
    served: int
    new: bool = True
    waiting: deque[Sequence] = field(default_factory=deque)
    running: list[Sequence] = field(default_factory=list)
    turn: int = 0

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """Whose turn is next: the lowest."""
        return len(self.running), not self.new, self.served, self.arrived


class Scheduler:
    """The sequences of one engine, running in ``slots`` or waiting. Not thread-safe.

    At least one runs, whatever it takes; others only as far as they fit. A sequence that is
    preempted waits before the others of its request.
    """

    def __init__(self, slots: int, fits: Fits = lambda sequences: True) -> None:
        self._slots = slots
        self._fits = fits
        self._requests: dict[str, _Request] = {}
        self._arrivals = 0
        self._clock = 0
        self._claimant: _Request | None = None
        self.running: list[Sequence] = []
        """In the order in which they were admitted."""

    @property
    def waiting(self) -> int:
        return sum(len(request.waiting) for request in self._requests.values())

    @property
    def idle(self) -> bool:
        return not self._requests

    @property
    def sequences(self) -> list[Sequence]:
        waiting = (each for request in self._requests.values() for each in request.waiting)
        return [*self.running, *waiting]

    def add(self, sequence: Sequence) -> None:
        request = self._requests.get(sequence.request_id)
        if request is None:
            self._arrivals += 1
            served = (each.served for each in self._requests.values())
            self._clock = max(self._clock, min(served, default=0))  # what all have had
            request = _Request(self._arrivals, self._clock - HEAD_START)
            self._requests[sequence.request_id] = request
        request.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """Forget a sequence wherever it is; whether it was running."""
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

    def serve(self, sequence: Sequence, units: int = 1) -> None:
        """Count what a sequence got: a unit is a decoded token, or as much work."""
        request = self._requests.get(sequence.request_id)
        if request is not None and units:
            request.served += units
            request.new = False

    def served(self, sequence: Sequence) -> int:
        """What the sequence's request got so far."""
        request = self._requests.get(sequence.request_id)
        return 0 if request is None else request.served

    def admit(self) -> Sequence | None:
        """The next sequence for which there is room, from now on running."""
        if len(self.running) >= self._slots:
            return None
        claimant, self._claimant = self._claimant, None
        for request in [claimant] if claimant and claimant.waiting else self._in_turn():
            if self._has_room(self.running, request.waiting[0]):
                sequence = request.waiting.popleft()
                request.running.append(sequence)
                self.running.append(sequence)
                return sequence
        return None

    def preempt(self) -> list[Sequence]:
        """Sequences that have to make room, from now on waiting; empty when none has to.

        What they make room for is the next to be admitted.
        """
        victims = self._outgrown() or self._claimed()
        for victim in victims:
            request = self._requests[victim.request_id]
            request.running.remove(victim)
            request.waiting.appendleft(victim)
            self.running.remove(victim)
        return victims

    def next(self) -> Sequence | None:
        """Whose turn it is where one decodes at a time: the least served request's next one."""
        running = [each for each in self._requests.values() if each.running]
        if not running:
            return None
        request = min(running, key=lambda each: (each.served, each.arrived))
        request.turn += 1
        return request.running[request.turn % len(request.running)]

    def _in_turn(self) -> list[_Request]:
        waiting = (each for each in self._requests.values() if each.waiting)
        return sorted(waiting, key=lambda request: request.rank)

    def _has_room(self, running: list[Sequence], sequence: Sequence) -> bool:
        if not running:
            return True
        return len(running) < self._slots and self._fits([*running, sequence])

    def _outgrown(self) -> list[Sequence]:
        """Those that no longer fit beside the others, since all grow."""
        kept, victims = list(self.running), list[Sequence]()
        while len(kept) > 1 and not self._fits(kept):
            victim = _youngest(self._donors(kept), kept)
            kept.remove(victim)
            victims.append(victim)
        return victims

    def _claimed(self) -> list[Sequence]:
        """Those whose place the turn of another request claims."""
        for request in self._claimants():
            if self._has_room(self.running, request.waiting[0]):
                continue  # it will be admitted
            victims = self._victims(request)
            if victims:
                self._claimant = request
                return victims
        return []

    def _claimants(self) -> Iterator[_Request]:
        in_turn = self._in_turn()
        yield from islice((each for each in in_turn if each.new), MAX_LOOKED_AT)
        yield from islice((each for each in in_turn if not each.new), MAX_LOOKED_AT)

    def _victims(self, claimant: _Request) -> list[Sequence]:
        """Enough of those that have to give way to the claimant, or none."""
        kept, victims = list(self.running), list[Sequence]()
        while not self._has_room(kept, claimant.waiting[0]):
            donors = {
                donor: count
                for donor, count in self._donors(kept).items()
                if donor is not claimant and _gives_way(donor, count, claimant)
            }
            if not donors:
                return []
            victim = _youngest(donors, kept)
            kept.remove(victim)
            victims.append(victim)
        return victims

    def _donors(self, running: list[Sequence]) -> dict[_Request, int]:
        """The requests of these sequences, and how many each has."""
        counts: dict[_Request, int] = {}
        for sequence in running:
            request = self._requests[sequence.request_id]
            counts[request] = counts.get(request, 0) + 1
        return counts


def _gives_way(donor: _Request, count: int, claimant: _Request) -> bool:
    """Whether a request that runs ``count`` sequences loses one to ``claimant``."""
    if count >= len(claimant.running) + 2:
        return True
    if claimant.running:
        return False
    return donor.served - claimant.served >= (HEAD_START if claimant.new else QUANTUM)


def _youngest(donors: dict[_Request, int], running: list[Sequence]) -> Sequence:
    """The latest sequence of the request that has most of them, or was served most."""
    most = max(donors, key=lambda request: (donors[request], request.served, request.arrived))
    return next(each for each in reversed(running) if each in most.running)
