"""Who is next: what waits for a model, by request and by length, and the batches cut from it."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from deployments.batching.forward_time import ForwardTimeModel

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

PADDING = 1 / 8
"""The part of a batch that may be padding even where forwards cost nothing by themselves."""

PADDING_AT_FIRST = 1 / 3
"""The same while it is not known what they cost."""

COMPANY = 2.0
"""How many times as long as its first item alone a batch may take, where that is over the limit."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one forward: ``items`` of it, their ``volume`` with padding (tokens or pixels), and
    the ``seconds`` it usually stays below. ``patience`` is the number of batches that may begin
    without an item of a request that waits."""

    items: int = 32
    volume: int = 16_384
    seconds: float = 0.1
    patience: int = 8


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One request's place in line: its items that wait, of which at most ``most`` share a forward.

    ``since`` is how many batches had begun when it last had one, or came; ``begun`` whether it has
    had one.
    """

    most: int | None = None
    since: int = 0
    begun: bool = False
    waiting: OrderedDict[QueuedItem[Any, Any], None] = field(default_factory=OrderedDict)


@dataclass(slots=True, eq=False)
class QueuedItem(Generic[I, R]):
    """One item. Only those of one ``kind`` share a forward; ``size`` is its length, and ``nbytes``
    what it takes while it waits.

    It has waited ``since`` then, and nobody waits for its answer after the ``deadline``.
    """

    item: I
    size: int
    kind: Hashable
    turn: QueuedRequest
    result: asyncio.Future[R]
    since: float
    deadline: float = math.inf
    nbytes: int = 0


class Batch(Generic[I, R]):
    """Items of one forward, as far as it may grow."""

    def __init__(
        self, first: QueuedItem[I, R], limits: BatchLimits, pace: ForwardTimeModel
    ) -> None:
        self.kind = first.kind
        self.items: list[QueuedItem[I, R]] = []
        self._limits = limits
        self._pace = pace
        self._seconds = max(limits.seconds, COMPANY * pace.most(first.size))
        self._of_turn: Counter[QueuedRequest] = Counter()
        self._longest = 0
        self._real = 0
        self.add(first)

    @property
    def volume(self) -> int:
        return len(self.items) * self._longest

    @property
    def padding(self) -> float:
        """The part of the volume that is none of the items."""
        return 1 - self._real / self.volume if self.volume else 0.0

    @property
    def fill(self) -> float:
        """How near it is to the nearest of its bounds, from 0 to 1."""
        of_items, of_volume = (
            len(self.items) / self._limits.items,
            self.volume / self._limits.volume,
        )
        return min(1.0, max(of_items, of_volume, self._pace.most(self.volume) / self._seconds))

    def add(self, waiting: QueuedItem[I, R]) -> None:
        self.items.append(waiting)
        self._of_turn[waiting.turn] += 1
        self._longest = max(self._longest, waiting.size)
        self._real += waiting.size

    def has_room_for(self, *more: QueuedItem[I, R]) -> bool:
        """Whether it stays within its bounds with all of ``more``."""
        count = len(self.items) + len(more)
        volume = count * max(self._longest, *(waiting.size for waiting in more))
        return (
            all(waiting.kind == self.kind for waiting in more)
            and count <= self._limits.items
            and volume <= self._limits.volume
            and self._pace.most(volume) <= self._seconds
        )

    def has_enough_of(self, turn: QueuedRequest) -> bool:
        """Whether that request wants no more of its items in it."""
        return turn.most is not None and self._of_turn[turn] >= turn.most

    def is_worth(self, waiting: QueuedItem[I, R]) -> bool:
        """Whether the padding costs less than a second forward that could save half of it."""
        volume = (len(self.items) + 1) * max(self._longest, waiting.size)
        padding, overhead = volume - self._real - waiting.size, self._pace.overhead
        if overhead is None:
            return padding <= PADDING_AT_FIRST * volume
        return padding <= max(2 * overhead, PADDING * volume)


class BatchScheduler(Generic[I, R]):
    """The line of requests that wait. :meth:`cut` says what runs next.

    A batch is built around the item whose turn it is, of those nearest to it in length. Requests
    that have had nothing yet go before those that have: the one that wants least first, so that a
    single item is in the next batch however many lists are at work or new. Those that have had
    something follow in the order in which they had it. A request without which ``patience`` batches
    have begun is overdue, and one in so many batches is for the one that is so for longest.

    All that are overdue share a batch where they fit into one. Where they do not, more is asked
    than can be in time: then they go by age, each with what is like it in length, for to pad them
    all to the longest of them would cost the more the more there are.
    """

    def __init__(self) -> None:
        self._turns: OrderedDict[QueuedRequest, None] = OrderedDict()
        self._lengths: defaultdict[Hashable, dict[int, OrderedDict[QueuedItem[I, R], None]]]
        self._lengths = defaultdict(dict)
        self.nbytes = 0
        """What all that waits takes."""
        self._batches = 0
        self._for_late = 0  # how many had begun when the last was for one that was overdue

    def __len__(self) -> int:
        return sum(len(turn.waiting) for turn in self._turns)

    def kinds(self) -> tuple[Hashable, ...]:
        """The kinds of the items that wait; may be asked from any thread."""
        return tuple(self._lengths)

    def put(self, waiting: QueuedItem[I, R]) -> None:
        turn = waiting.turn
        if turn not in self._turns:
            self._turns[turn] = None
            turn.since = self._batches
        turn.waiting[waiting] = None
        self.nbytes += waiting.nbytes
        self._lengths[waiting.kind].setdefault(waiting.size, OrderedDict())[waiting] = None

    def drop(self, waiting: QueuedItem[I, R]) -> None:
        """Forget an item; one that does not wait is no matter."""
        turn = waiting.turn
        if waiting not in turn.waiting:
            return
        del turn.waiting[waiting]
        self.nbytes -= waiting.nbytes
        if not turn.waiting:
            del self._turns[turn]
        lengths = self._lengths[waiting.kind]
        del lengths[waiting.size][waiting]
        if not lengths[waiting.size]:
            del lengths[waiting.size]
        if not lengths:
            del self._lengths[waiting.kind]

    def cut(self, limits: BatchLimits, pace: ForwardTimeModel) -> Batch[I, R] | None:
        """Take the next batch out of the line; ``None`` when nothing waits."""
        if not self._turns:
            return None
        first = self._next(limits.patience)
        batch: Batch[I, R] = Batch(self._take(first), limits, pace)
        late = [turn for turn in self._turns if self._is_overdue(turn, limits.patience)]
        alike = [t for t in late if t is not first and _head(t).kind == batch.kind]
        if alike and batch.has_room_for(*map(_head, alike)):
            for turn in alike:
                batch.add(self._take(turn))
        self._fill(batch)
        self._batches += 1
        return batch

    def ended(self, batch: Batch[I, R]) -> None:
        """The requests that had an item in it go to the end of the line."""
        for turn in {waiting.turn: None for waiting in batch.items}:
            turn.begun = True
            turn.since = self._batches
            if turn in self._turns:
                self._turns.move_to_end(turn)

    def _next(self, patience: int) -> QueuedRequest:
        """Whose turn it is."""
        oldest = next(iter(self._turns))  # they are in the order in which they had something
        if self._is_overdue(oldest, patience) and self._batches - self._for_late >= patience:
            self._for_late = self._batches
            return oldest
        new = [turn for turn in self._turns if not turn.begun]
        return min(new, key=lambda turn: len(turn.waiting)) if new else oldest

    def _is_overdue(self, turn: QueuedRequest, patience: int) -> bool:
        return self._batches - turn.since >= patience

    def _take(self, turn: QueuedRequest) -> QueuedItem[I, R]:
        head: QueuedItem[I, R] = _head(turn)
        self.drop(head)
        return head

    def _fill(self, batch: Batch[I, R]) -> None:
        """Add what is nearest in length to the first item, while there is room and it is worth."""
        lengths, wanted = self._lengths.get(batch.kind, {}), batch.items[0].size
        for length in sorted(lengths, key=lambda length: abs(length - wanted)):
            taken = []
            for waiting in lengths[length]:
                if batch.has_enough_of(waiting.turn):
                    continue
                if not batch.has_room_for(waiting) or not batch.is_worth(waiting):
                    break
                batch.add(waiting)
                taken.append(waiting)
            for waiting in taken:
                self.drop(waiting)


def _head(turn: QueuedRequest) -> QueuedItem[Any, Any]:
    return next(iter(turn.waiting))
