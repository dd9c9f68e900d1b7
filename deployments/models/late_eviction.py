"""Evicts, in the background, what could not be evicted while requests used it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from deployments.models.eviction import Eviction
from deployments.models.loaded_model import FRESH_S
from deployments.models.turns import Turns


class LateEviction:
    """Brings the models back within the budget, where a load had to exceed it.

    A model that no request uses is evicted when its turn is over, not before: else each of its
    requests would load it anew. ``changing`` is the cache's lock, ``clock`` that of the models.
    """

    def __init__(
        self,
        eviction: Eviction[Any],
        turns: Turns,
        changing: asyncio.Lock,
        clock: Callable[[], float],
    ) -> None:
        self._eviction = eviction
        self._turns = turns
        self._changing = changing
        self._clock = clock
        self._checked_at = -math.inf
        self._idle = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def exceeded(self) -> None:
        """A load has exceeded the budget: look at the next model that is idle, however lately the
        models were within it."""
        self._checked_at = -math.inf

    def start(self) -> None:
        """A model is idle now: evict it when it may go, if the budget is exceeded.

        Models that were within it ``FRESH_S`` seconds ago, before they grew, are not looked at.
        """
        self._idle.set()
        if not self._eviction.is_bounded or self._clock() - self._checked_at < FRESH_S:
            return
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._idle.is_set():
            self._idle.clear()
            async with self._changing:
                kept = self._turns.idle_until()
                if await self._eviction.make_room(keep=kept):
                    self._checked_at = self._clock()
                    return
            if kept:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), min(kept.values()) - self._clock())
                self._idle.set()
