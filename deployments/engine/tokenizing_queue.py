"""The queue of prompts to tokenize: next is the request with the least to tokenize so far.

Self-clocked fair queueing (Golestani, INFOCOM 1994), with characters for the length of a packet: a
prompt gets the tag that its request has reached, or the clock where that is further, and its own
length on top. The lowest tag is next, and the clock is the tag of what began last. So a chat waits
for the prompts that are being tokenized, and not for one long text of each client that sent many;
and a long text waits for as many characters of each other request as it has itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from weakref import WeakValueDictionary


class _Request:
    """A request with prompts that wait or are tokenized; ``tag`` is that of the last of them."""

    __slots__ = ("__weakref__", "lock", "tag")

    def __init__(self) -> None:
        self.tag = 0
        self.lock = asyncio.Lock()


class TokenizingQueue:
    """At most ``at_once`` prompts are tokenized at a time, and one of each request.

    For one event loop.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._clock = 0
        self._order = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._requests = WeakValueDictionary[str, _Request]()

    @asynccontextmanager
    async def slot(self, request_id: str, characters: int) -> AsyncIterator[None]:
        """Wait until a prompt of this length may be tokenized; the block does it."""
        request = self._requests.setdefault(request_id, _Request())
        async with request.lock:
            request.tag = max(request.tag, self._clock) + characters
            await self._enter(request.tag)
            try:
                yield
            finally:
                self._leave()

    async def _enter(self, tag: int) -> None:
        if self._free:
            self._free -= 1
            self._clock = max(self._clock, tag)
            return
        admitted = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (tag, next(self._order), admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if not admitted.cancelled():  # it was admitted and cancelled in the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            tag, _, admitted = heappop(self._waiting)
            if not admitted.done():
                self._clock = tag
                admitted.set_result(None)
                return
        self._free += 1
