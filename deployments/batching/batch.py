"""One batch while it is formed: its items, its bounds, and what its padding costs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

from deployments.batching.tuning import MAX_TIME_FACTOR, UNMEASURED_PADDING

if TYPE_CHECKING:
    from deployments.batching.forward_time import ForwardTimeModel
    from deployments.batching.scheduler import BatchLimits, QueuedItem, QueuedRequest
    from deployments.metrics.binding_limit import BatchEnd

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


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
        self._time_of_first = forward_time.upper_bound(first.size)
        self._max_seconds = max(limits.max_seconds, MAX_TIME_FACTOR * self._time_of_first)
        self.requests: Counter[QueuedRequest] = Counter()
        """How many items each request has in it."""
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
        self.requests[item.request] += 1
        self._longest = max(self._longest, item.size)
        self._unpadded += item.size

    def bound_seconds(self, seconds: float) -> None:
        """Let it take no longer than ``seconds``; its first item always fits. 0 bounds nothing:
        then it is not known how long anything takes."""
        if seconds:
            self._max_seconds = min(self._max_seconds, max(seconds, self._time_of_first))

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
        return request.max_items is not None and self.requests[request] >= request.max_items

    def is_worth_padding_for(self, item: QueuedItem[I, R]) -> bool:
        """Whether the padding with ``item`` costs less than two forwards instead of one would.

        Two forwards of similar lengths each would save about half of the padding, and cost the
        fixed time of a forward once more.
        """
        volume = (len(self.items) + 1) * max(self._longest, item.size)
        padding, fixed = volume - self._unpadded - item.size, self._forward_time.fixed_volume
        return padding <= (UNMEASURED_PADDING * volume if fixed is None else 2 * fixed)
