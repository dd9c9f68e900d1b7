"""Who in this process waits for which conversation: first come, first served, and not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

MOST = 16
"""Messages of one conversation that one replica lets wait."""


class QueueFull(Exception):
    """Too many wait already."""


class MessageQueues:
    """One queue a key, there only while somebody is in it."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._inside: dict[Hashable, int] = {}

    async def enter(self, key: Hashable) -> None:
        """Wait for one's turn, which lasts until :meth:`leave`. Raises :class:`QueueFull`."""
        inside = self._inside.get(key, 0)
        if inside > self._most:
            raise QueueFull
        self._inside[key] = inside + 1
        try:
            await self._locks.setdefault(key, asyncio.Lock()).acquire()
        except BaseException:
            self._forget(key)
            raise

    def leave(self, key: Hashable) -> None:
        self._locks[key].release()
        self._forget(key)

    def _forget(self, key: Hashable) -> None:
        self._inside[key] -= 1
        if not self._inside[key]:
            del self._inside[key], self._locks[key]
