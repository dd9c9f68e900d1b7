"""Backpressure: bounds the memory of the items that wait for a model."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from deployments.batching.scheduler import BatchScheduler


class QueueRoom:
    """Room for ``max_bytes`` of items in the queue of ``scheduler``; ``None`` is no bound."""

    def __init__(self, scheduler: BatchScheduler[Any, Any], max_bytes: int | None) -> None:
        self._scheduler = scheduler
        self._max_bytes = sys.maxsize if max_bytes is None else max_bytes
        self._waiting: deque[asyncio.Event] = deque()

    @property
    def free_bytes(self) -> int:
        return self._max_bytes - self._scheduler.nbytes

    def fits(self, nbytes: int) -> bool:
        """Whether so many more bytes may wait. Any number may where nothing else waits."""
        return not self._scheduler.nbytes or nbytes <= self.free_bytes

    async def wait(self, has_room: Callable[[int], bool]) -> None:
        """Wait until ``has_room`` is true of the free bytes, first come, first served.

        ``has_room`` is re-evaluated at each :meth:`recheck`.
        """
        changed = asyncio.Event()
        self._waiting.append(changed)
        try:
            while self._waiting[0] is not changed or not has_room(self.free_bytes):
                changed.clear()
                await changed.wait()
        finally:
            self._waiting.remove(changed)
            self.recheck()  # there may be room for the next one as well

    def recheck(self) -> None:
        """Call when the free bytes may have changed: the first waiting caller checks again."""
        if self._waiting:
            self._waiting[0].set()
