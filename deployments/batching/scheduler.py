"""The scheduler of one model: queues items by request and by length, and forms the batches."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from deployments.batching.batch import Batch
from deployments.batching.contention import Contention
from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.request_queue import RequestQueue
from deployments.batching.tuning import CONTENDED_FACTOR
from deployments.metrics.stage_recorder import StageRecorder
from deployments.models.fair_shares import NOBODY, FairShares, Owner

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

    ``last_batch`` is the number of batches of its queue that had begun when it came, or when it
    last had items in one; ``was_served`` whether it ever had. ``recorder`` is told its stages, if
    it asked. The work for it is counted for its ``owner``.
    """

    max_items: int | None = None
    last_batch: int = 0
    was_served: bool = False
    items: OrderedDict[QueuedItem[Any, Any], None] = field(default_factory=OrderedDict)
    recorder: StageRecorder | None = None
    owner: Owner = NOBODY

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


class BatchScheduler(Generic[I, R]):
    """The queue of one model. :meth:`next_batch` takes the items of one batch out of it.

    A batch starts with the first item of one request and is filled with items of similar length
    from all requests. The request is one of the tenant, and of the fairness id of that tenant, that
    has had least of the model's time (:class:`FairShares`). Where other tenants wait, the batch is
    filled with the tenant's own items first, and may become only a little longer by those of
    others. Among the requests of one owner it is chosen so:

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
        self._queues: dict[Owner, RequestQueue] = {}
        self._shares = FairShares()
        self._contention = Contention()
        self._volumes: Counter[str] = Counter()  # by tenant
        self._bytes: Counter[str] = Counter()
        self._by_length: defaultdict[Hashable, dict[int, OrderedDict[QueuedItem[I, R], None]]]
        self._by_length = defaultdict(dict)

    def __len__(self) -> int:
        return sum(len(request.items) for queue in self._queues.values() for request in queue)

    @property
    def nbytes(self) -> int:
        """Memory that all waiting items take."""
        return self._bytes.total()

    @property
    def volume(self) -> int:
        """Tokens or pixels of all waiting items, without padding."""
        return self._volumes.total()

    def nbytes_of(self, tenant: str) -> int:
        """Memory that the waiting items of one tenant take."""
        return self._bytes[tenant]

    def kinds(self) -> tuple[Hashable, ...]:
        """The kinds of the waiting items; may be called from any thread."""
        return tuple(self._by_length)

    def add(self, item: QueuedItem[I, R]) -> None:
        request = item.request
        if not request.items:
            request.owner = self._shares.begin(request.owner)
            self._queues.setdefault(request.owner, RequestQueue()).add(request)
        request.items[item] = None
        self._bytes[request.owner.tenant] += item.nbytes
        self._volumes[request.owner.tenant] += item.size
        self._by_length[item.kind].setdefault(item.size, OrderedDict())[item] = None

    def remove(self, item: QueuedItem[I, R]) -> None:
        """Forget an item. Nothing happens if it does not wait."""
        request = item.request
        if item not in request.items:
            return
        owner = request.owner
        del request.items[item]
        for counts, amount in ((self._bytes, item.nbytes), (self._volumes, item.size)):
            counts[owner.tenant] -= amount
            if not counts[owner.tenant]:
                del counts[owner.tenant]
        if not request.items:
            self._queues[owner].remove(request)
            if not self._queues[owner]:
                del self._queues[owner]
            self._shares.end(owner)
        lengths = self._by_length[item.kind]
        del lengths[item.size][item]
        if not lengths[item.size]:
            del lengths[item.size]
        if not lengths:
            del self._by_length[item.kind]

    def next_batch(
        self, limits: BatchLimits, forward_time: ForwardTimeModel, now: float
    ) -> Batch[I, R] | None:
        """Take the next batch out of the queue; ``None`` when nothing waits."""
        if not self._queues:
            return None
        owner, is_contended = min(self._queues, key=self._shares.rank), len(self._queues) > 1
        queue = self._queues[owner]
        wanted = forward_time.upper_bound(self._volumes[owner.tenant])
        self._contention.wanted(owner, min(wanted, limits.max_seconds), now)
        request = queue.next(limits.max_skipped_batches)
        overdue = queue.overdue(limits.max_skipped_batches)
        batch: Batch[I, R] = Batch(self._pop_first(request), limits, forward_time)
        fixed = forward_time.upper_bound(0)
        batch.bound_seconds(self._contention.max_seconds(owner, fixed, now))
        overdue = [each for each in overdue if each.items and each is not request]
        overdue = [each for each in overdue if each.first.kind == batch.kind]
        if overdue and batch.has_room_for(*(each.first for each in overdue)):
            for each in overdue:
                batch.add(self._pop_first(each))
        if is_contended:
            self._fill(batch, lambda each: each == owner)
            self._fill(batch, lambda each: each.tenant == owner.tenant)
            batch.bound_seconds(CONTENDED_FACTOR * forward_time.upper_bound(batch.volume))
        self._fill(batch)
        queue.batch_begun()
        self._charge(batch, forward_time)
        return batch

    def finished(self, batch: Batch[I, R]) -> None:
        """The requests that had items in the batch go to the end of their queues."""
        for request in batch.requests:
            request.was_served = True
            if (queue := self._queues.get(request.owner)) is not None:
                queue.served(request)
        for item in batch.items:
            self._shares.end(item.request.owner)

    def _charge(self, batch: Batch[I, R], forward_time: ForwardTimeModel) -> None:
        """Count the batch for its owners: every row of it costs the same."""
        seconds = forward_time.seconds(batch.volume) / len(batch.items)
        for request, items in batch.requests.items():
            self._shares.charge(request.owner, seconds * items)

    def _pop_first(self, request: QueuedRequest) -> QueuedItem[I, R]:
        first: QueuedItem[I, R] = request.first
        self._take(first)
        return first

    def _take(self, item: QueuedItem[I, R]) -> None:
        """Take an item out of the queue. Its owner counts as active until it has run."""
        self._shares.begin(item.request.owner)
        self.remove(item)

    def _fill(self, batch: Batch[I, R], of: Callable[[Owner], bool] | None = None) -> None:
        """Add the items closest in length to the first, while they fit and are worth it.

        With ``of`` only those of some owners.
        """
        lengths, size = self._by_length.get(batch.kind, {}), batch.items[0].size
        for length in sorted(lengths, key=lambda length: abs(length - size)):
            taken = []
            for item in lengths[length]:
                if of is not None and not of(item.request.owner):
                    continue
                if batch.is_full_for(item.request):
                    continue
                if not batch.has_room_for(item) or not batch.is_worth_padding_for(item):
                    batch.ended_by = batch.ended_by or batch.end_for(item)
                    break
                batch.add(item)
                taken.append(item)
            for item in taken:
                self._take(item)
