"""Spreads long pieces of work over turns of the event loop, so that small requests go between."""

from __future__ import annotations

import asyncio
from collections import deque

TURNS_BETWEEN = 8
"""Turns of the loop between two pieces. A small request takes about so many, from its first byte to
its answer: it waits for one or two pieces, however many are waiting."""


class LoopTurns:
    """Lets one piece of work begin every ``TURNS_BETWEEN`` turns of the loop, first come, first.

    A turn runs everything that is ready. Without this, twenty large bodies that arrive together are
    all parsed in one turn, and whatever comes meanwhile waits for all of them.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    async def next(self) -> None:
        """Wait until a piece may begin: not at all where none has just begun."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._begin(loop)
            return
        waiter = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_taken = True
        loop.call_soon(self._count, TURNS_BETWEEN - 1)

    def _count(self, left: int) -> None:
        loop = asyncio.get_running_loop()
        if left:
            loop.call_soon(self._count, left - 1)
            return
        self._is_taken = False
        while self._waiting and not self._is_taken:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else its request was cancelled
                waiter.set_result(None)
                self._begin(loop)
