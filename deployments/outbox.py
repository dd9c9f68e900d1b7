"""How tokens get from the engines' threads to the streams of a replica, and when they leave.

What leaves costs the way out (Serve, the ingress, its answer) the same, however many tokens it
carries. So tokens leave at once and alone while the way is quicker than the engine, and join as far
as it is slower: nobody chose a time that they wait for.
"""

from __future__ import annotations

import asyncio
from collections import deque

from deployments.seam import Problem, Token

REST = 2.0
"""How long the way rests after a departure, as a multiple of what that took on this side: about
what the ingress, a process of its own, spends on what has departed."""

LONGEST_REST_S = 0.25
"""However long something else kept the event loop."""


class Way:
    """The way out of one replica, shared by all of its streams; made and used on its event loop.

    Streams that have tokens depart together. How long a departure takes is seen by when its streams
    come back for more, and the next is ``rest`` times that later: the way is not asked to carry
    more items than it can. A stream whose reader is slow does not come back, and holds up nobody
    else. What is the first of its stream waits for nothing.
    """

    def __init__(self, rest: float = REST) -> None:
        self._rest = rest
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[tuple[Outbox, Token | Problem]] = deque()
        self._called = False
        self._laden: list[Outbox] = []
        self._departure = 0
        self._departed_at = 0.0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def outbox(self) -> Outbox:
        """The outbox of one more stream."""
        return Outbox(self)

    def arrived(self, outbox: Outbox, item: Token | Problem) -> None:
        """From any thread: the loop is woken once for all that arrives until it looks."""
        self._arrived.append((outbox, item))
        if not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._look)

    def laden(self, outbox: Outbox) -> None:
        """A stream waits, and its outbox has something for it."""
        self._laden.append(outbox)

    def returned(self, departure: int) -> None:
        """A stream that left with ``departure`` is back for more."""
        if departure == self._departure:
            now = self._loop.time()
            rest = min(self._rest * (now - self._departed_at), LONGEST_REST_S)
            self._free_at = max(self._free_at, now + rest)

    def depart(self) -> None:
        """Let the streams go that have something, now or when the way is free."""
        if not self._laden or self._timer is not None:
            return
        now = self._loop.time()
        if now < self._free_at:
            self._timer = self._loop.call_at(self._free_at, self._rested)
            return
        departing, self._laden = self._laden, []
        self._departure += 1
        self._departed_at = now
        for outbox in departing:
            outbox.go(self._departure)

    def _rested(self) -> None:
        self._timer = None
        self.depart()

    def _look(self) -> None:
        self._called = False  # before anything is taken: what comes from here on calls again
        while self._arrived:
            outbox, item = self._arrived.popleft()
            outbox.lay(item)
        self.depart()


class Outbox:
    """The tokens of one stream on their way from an engine's thread, in order."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._items: list[Token | Problem] = []
        self._waiter: asyncio.Future[None] | None = None
        self._departure: int | None = None

    def put(self, item: Token | Problem) -> None:
        """From any thread."""
        self._way.arrived(self, item)

    async def take(self) -> tuple[tuple[Token, ...], Problem | None]:
        """Everything that is there when the way is free: tokens in order, and a problem, if any."""
        if self._departure is not None:
            self._way.returned(self._departure)
        self._waiter = asyncio.get_running_loop().create_future()
        if self._items:
            self._load()
            self._way.depart()
        try:
            await self._waiter
        finally:
            self._waiter = None
        items, self._items = self._items, []
        tokens = tuple(item for item in items if isinstance(item, Token))
        return tokens, next((item for item in items if isinstance(item, Problem)), None)

    def lay(self, item: Token | Problem) -> None:
        """On the loop: something has come."""
        self._items.append(item)
        if len(self._items) == 1 and self._waiter is not None:
            self._load()

    def go(self, departure: int) -> None:
        """Wake the stream, if it still waits."""
        if self._waiter is not None and not self._waiter.done():
            self._departure = departure
            self._waiter.set_result(None)

    def _load(self) -> None:
        if self._departure is None:
            self.go(0)
        else:
            self._way.laden(self)
