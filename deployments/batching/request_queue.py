"""The waiting requests of one owner, and which of them begins the next batch that is its own."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deployments.batching.scheduler import QueuedRequest


class RequestQueue:
    """Requests in the order in which they were last served.

    ``batches`` counts those that this owner began; skipped requests are counted by it.
    """

    def __init__(self) -> None:
        self._requests: OrderedDict[QueuedRequest, None] = OrderedDict()  # last served at the end
        self._batches = 0
        self._last_for_overdue = 0  # the number of the last batch that began with an overdue one

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[QueuedRequest]:
        return iter(self._requests)

    def add(self, request: QueuedRequest) -> None:
        self._requests[request] = None
        request.last_batch = self._batches

    def remove(self, request: QueuedRequest) -> None:
        del self._requests[request]

    def next(self, max_skipped: int) -> QueuedRequest:
        """The request that begins the next batch."""
        oldest = next(iter(self._requests))
        is_turn_of_overdue = self._batches - self._last_for_overdue >= max_skipped
        if is_turn_of_overdue and self._is_overdue(oldest, max_skipped):
            self._last_for_overdue = self._batches
            return oldest
        new = [request for request in self._requests if not request.was_served]
        return min(new, key=lambda request: len(request.items)) if new else oldest

    def overdue(self, max_skipped: int) -> list[QueuedRequest]:
        """The requests that were skipped too often."""
        return [each for each in self._requests if self._is_overdue(each, max_skipped)]

    def batch_begun(self) -> None:
        self._batches += 1

    def served(self, request: QueuedRequest) -> None:
        """A request had items in a batch: it goes to the end."""
        request.last_batch = self._batches
        if request in self._requests:
            self._requests.move_to_end(request)

    def _is_overdue(self, request: QueuedRequest, max_skipped: int) -> bool:
        return self._batches - request.last_batch >= max_skipped
