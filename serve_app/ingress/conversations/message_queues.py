"""Queues of messages that wait for their conversation in this process, first in, first out."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

MAX_WAITING = 16
"""Messages of one conversation that may wait in one replica."""


class QueueFull(Exception):
    """Too many wait already."""


class MessageQueues:
    """One queue for each key, kept only while a message is in it."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._inside: dict[Hashable, int] = {}

    async def enter(self, key: Hashable) -> None:
        """Wait to be first, until :meth:`leave`. Raises :class:`QueueFull`."""
        inside = self._inside.get(key, 0)
        if inside > self._max_waiting:
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
