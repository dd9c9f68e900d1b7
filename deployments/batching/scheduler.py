"""The scheduler of one model: queues items by request and by length, and forms the batches."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.tuning import MAX_TIME_FACTOR, UNMEASURED_PADDING
from deployments.metrics.binding_limit import BatchEnd
from deployments.metrics.stage_recorder import StageRecorder

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one batch: its items, their volume with padding (in tokens or pixels), and the
    seconds that its forward may be expected to take.

    A waiting request may be skipped by ``max_skipped_batches`` before it is overdue.
    """

    max_items: int = 32
    max_volume: int = 16_384
    max_seconds: float = 0.1
    max_skipped_batches: int = 8


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One request in the queue: its items that wait, of which ``max_items`` may share a batch.

    ``last_batch`` is the number of batches that had begun when it came, or when it last had items
    in one; ``was_served`` whether it ever had. ``recorder`` is told its stages, if it asked.
    """

    max_items: int | None = None
    last_batch: int = 0
    was_served: bool = False
    items: OrderedDict[QueuedItem[Any, Any], None] = field(default_factory=OrderedDict)
    recorder: StageRecorder | None = None

    @property
    def first(self) -> QueuedItem[Any, Any]:
        return next(iter(self.items))


@dataclass(slots=True, eq=False)
class QueuedItem(Generic[I, R]):
    """One item that waits since ``queued_at``, and whose answer is of no use after ``deadline``.

    Only items of one ``kind`` share a batch. ``size`` is its length in tokens or pixels, ``nbytes``
    the memory that it takes.
    """

    item: I
    size: int
    kind: Hashable
    request: QueuedRequest
    result: asyncio.Future[R]
    queued_at: float
    deadline: float = math.inf
    nbytes: int = 0

    def is_wanted(self, now: float) -> bool:
        """Whether a caller still waits for its answer."""
        return not (self.result.done() or now > self.deadline)


class Batch(Generic[I, R]):
    """Items of one kind that share a forward. Each is padded to the longest of them."""

    def __init__(
        self, first: QueuedItem[I, R], limits: BatchLimits, forward_time: ForwardTimeModel
    ) -> None:
        self.kind = first.kind
        self.ended_by: BatchEnd | None = None
        """What kept the nearest waiting item out; ``None`` if nothing waited any more."""
        self.items: list[QueuedItem[I, R]] = []
        self._limits = limits
        self._forward_time = forward_time
        time_of_first = forward_time.upper_bound(first.size)
        self._max_seconds = max(limits.max_seconds, MAX_TIME_FACTOR * time_of_first)
        self._items_of: Counter[QueuedRequest] = Counter()
        self._longest = 0
        self._unpadded = 0
        self.add(first)

    @property
    def volume(self) -> int:
        """Padded volume, in tokens or pixels: the number of items times the longest."""
        return len(self.items) * self._longest

    @property
    def padding(self) -> float:
        """The part of the volume that is padding."""
        return 1 - self._unpadded / self.volume if self.volume else 0.0

    @property
    def fill(self) -> float:
        """The used fraction, from 0 to 1, of the limit that the batch is closest to."""
        limits = self._limits
        seconds = self._forward_time.upper_bound(self.volume)
        return min(
            1.0,
            max(
                len(self.items) / limits.max_items,
                self.volume / limits.max_volume,
                seconds / self._max_seconds,
            ),
        )

    def add(self, item: QueuedItem[I, R]) -> None:
        self.items.append(item)
        self._items_of[item.request] += 1
        self._longest = max(self._longest, item.size)
        self._unpadded += item.size

    def has_room_for(self, *more: QueuedItem[I, R]) -> bool:
        """Whether it stays within its bounds with all of ``more``."""
        count = len(self.items) + len(more)
        volume = count * max(self._longest, *(item.size for item in more))
        return (
            all(item.kind == self.kind for item in more)
            and count <= self._limits.max_items
            and volume <= self._limits.max_volume
            and self._forward_time.upper_bound(volume) <= self._max_seconds
        )

    def end_for(self, item: QueuedItem[I, R]) -> BatchEnd:
        """What keeps an item out for which there is no room, or which is not worth its padding."""
        limits, count = self._limits, len(self.items) + 1
        volume = count * max(self._longest, item.size)
        if count > limits.max_items:
            return "items"
        if volume > limits.max_volume:
            return "volume"
        is_late = self._forward_time.upper_bound(volume) > self._max_seconds
        return "seconds" if is_late else "lengths"

    def is_full_for(self, request: QueuedRequest) -> bool:
        """Whether it has as many items of ``request`` as may share a batch."""
        return request.max_items is not None and self._items_of[request] >= request.max_items

    def is_worth_padding_for(self, item: QueuedItem[I, R]) -> bool:
        """Whether the padding with ``item`` costs less than two forwards instead of one would.

        Two forwards of similar lengths each would save about half of the padding, and cost the
        fixed time of a forward once more.
        """
        volume = (len(self.items) + 1) * max(self._longest, item.size)
        padding, fixed = volume - self._unpadded - item.size, self._forward_time.fixed_volume
        return padding <= (UNMEASURED_PADDING * volume if fixed is None else 2 * fixed)


class BatchScheduler(Generic[I, R]):
    """The queue of one model. :meth:`next_batch` takes the items of one batch out of it.

    A batch starts with the first item of one request and is filled with items of similar length
    from all requests. That request is chosen so:

    - New requests, which have had no item in a batch, come before the others, and the one with the
      fewest items comes first. So a single text is in the next batch, however many long lists wait.
    - The other requests take turns: the one that was served longest ago comes first.
    - A request that was skipped by ``max_skipped_batches`` is overdue. Every so many batches, one
      starts with the request that is overdue for longest, although there are new ones.

    If one item of each overdue request fits into the batch, they share it. Otherwise the model is
    overloaded: the oldest is served first, with items of similar length, because padding all of
    them to the longest would cost more.
    """

    def __init__(self) -> None:
        self._requests: OrderedDict[QueuedRequest, None] = OrderedDict()  # last served at the end
        self._by_length: defaultdict[Hashable, dict[int, OrderedDict[QueuedItem[I, R], None]]]
        self._by_length = defaultdict(dict)
        self.nbytes = 0
        """Memory that all waiting items take."""
        self.volume = 0
        """Tokens or pixels of all waiting items, without padding."""
        self._batches = 0
        self._last_for_overdue = 0  # the number of the last batch that began with an overdue one

    def __len__(self) -> int:
        return sum(len(request.items) for request in self._requests)

    def kinds(self) -> tuple[Hashable, ...]:
        """The kinds of the waiting items; may be called from any thread."""
        return tuple(self._by_length)

    def add(self, item: QueuedItem[I, R]) -> None:
        request = item.request
        if request not in self._requests:
            self._requests[request] = None
            request.last_batch = self._batches
        request.items[item] = None
        self.nbytes += item.nbytes
        self.volume += item.size
        self._by_length[item.kind].setdefault(item.size, OrderedDict())[item] = None

    def remove(self, item: QueuedItem[I, R]) -> None:
        """Forget an item. Nothing happens if it does not wait."""
        request = item.request
        if item not in request.items:
            return
        del request.items[item]
        self.nbytes -= item.nbytes
        self.volume -= item.size
        if not request.items:
            del self._requests[request]
        lengths = self._by_length[item.kind]
        del lengths[item.size][item]
        if not lengths[item.size]:
            del lengths[item.size]
        if not lengths:
            del self._by_length[item.kind]

    def next_batch(self, limits: BatchLimits, forward_time: ForwardTimeModel) -> Batch[I, R] | None:
        """Take the next batch out of the queue; ``None`` when nothing waits."""
        if not self._requests:
            return None
        skipped = limits.max_skipped_batches
        request = self._next_request(skipped)
        batch: Batch[I, R] = Batch(self._pop_first(request), limits, forward_time)
        overdue = [
            each
            for each in self._requests
            if each is not request
            and self._is_overdue(each, skipped)
            and each.first.kind == batch.kind
        ]
        if overdue and batch.has_room_for(*(each.first for each in overdue)):
            for each in overdue:
                batch.add(self._pop_first(each))
        self._fill(batch)
        self._batches += 1
        return batch

    def finished(self, batch: Batch[I, R]) -> None:
        """The requests that had items in the batch go to the end of the queue."""
        for request in {item.request: None for item in batch.items}:
            request.was_served = True
            request.last_batch = self._batches
            if request in self._requests:
                self._requests.move_to_end(request)

    def _next_request(self, max_skipped: int) -> QueuedRequest:
        oldest = next(iter(self._requests))
        is_turn_of_overdue = self._batches - self._last_for_overdue >= max_skipped
        if is_turn_of_overdue and self._is_overdue(oldest, max_skipped):
            self._last_for_overdue = self._batches
            return oldest
        new = [request for request in self._requests if not request.was_served]
        return min(new, key=lambda request: len(request.items)) if new else oldest

    def _is_overdue(self, request: QueuedRequest, max_skipped: int) -> bool:
        return self._batches - request.last_batch >= max_skipped

    def _pop_first(self, request: QueuedRequest) -> QueuedItem[I, R]:
        first: QueuedItem[I, R] = request.first
        self.remove(first)
        return first

    def _fill(self, batch: Batch[I, R]) -> None:
        """Add the items closest in length to the first, while they fit and are worth it."""
        lengths, size = self._by_length.get(batch.kind, {}), batch.items[0].size
        for length in sorted(lengths, key=lambda length: abs(length - size)):
            taken = []
            for item in lengths[length]:
                if batch.is_full_for(item.request):
                    continue
                if not batch.has_room_for(item) or not batch.is_worth_padding_for(item):
                    batch.ended_by = batch.ended_by or batch.end_for(item)
                    break
                batch.add(item)
                taken.append(item)
            for item in taken:
                self.remove(item)
