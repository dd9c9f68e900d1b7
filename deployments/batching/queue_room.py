"""Backpressure: bounds the memory of the items that wait for a model, in all and of each tenant."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deployments.batching.scheduler import BatchScheduler
from deployments.models.call_receiver import owner_here
from deployments.seam.call_context import ANONYMOUS

FREE_FACTOR = 3
"""A tenant's items take at most three times the memory that is left: three quarters of all, if no
other waits, and with n tenants that all want more, 3 / (3 n + 1) each."""


@dataclass(slots=True, eq=False)
class RoomRequest:
    """Somebody of ``tenant`` who waits for room; ``changed`` is set when there may be some."""

    tenant: str
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class QueueRoom:
    """Room for ``max_bytes`` of items in the queue of ``scheduler``; ``None`` is no bound.

    One tenant cannot fill it: some room is left for the others (dynamic thresholds, Choudhury and
    Hahne, 1998).
    """

    def __init__(self, scheduler: BatchScheduler[Any, Any], max_bytes: int | None) -> None:
        self._scheduler = scheduler
        self._max_bytes = sys.maxsize if max_bytes is None else max_bytes
        self._waiting: list[RoomRequest] = []

    @property
    def free_bytes(self) -> int:
        return self._max_bytes - self._scheduler.nbytes

    def fits(self, nbytes: int, tenant: str = ANONYMOUS) -> bool:
        """Whether so many more bytes of ``tenant`` may wait. Any number may where nothing else
        waits. Where the service has no keys there is one tenant, which has all of the room."""
        if not self._scheduler.nbytes:
            return True
        if nbytes > self.free_bytes:
            return False
        own = self._scheduler.nbytes_of(tenant)
        return tenant == ANONYMOUS or not own or own + nbytes <= FREE_FACTOR * self.free_bytes

    async def wait(self, has_room: Callable[[int], bool]) -> None:
        """Wait until ``has_room`` is true of the free bytes.

        The tenant of which least waits in the queue comes first, and of one tenant who came first.
        ``has_room`` is re-evaluated at each :meth:`recheck`.
        """
        request = RoomRequest(owner_here().tenant)
        self._waiting.append(request)
        try:
            while self._first is not request or not has_room(self.free_bytes):
                request.changed.clear()
                await request.changed.wait()
        finally:
            self._waiting.remove(request)
            self.recheck()  # there may be room for the next one as well

    def recheck(self) -> None:
        """Call when the free bytes may have changed: the first waiting caller checks again."""
        if self._waiting:
            self._first.changed.set()

    @property
    def _first(self) -> RoomRequest:
        return min(self._waiting, key=lambda each: self._scheduler.nbytes_of(each.tenant))
