"""How tokens get from the engines' threads to the streams of a replica, and when they leave.

What leaves costs the way out (Serve, the ingress, its answer) the same, however many tokens it
carries. So tokens leave at once and alone while the way is quicker than the engine, and join as far
as it is slower: nobody chose a time that they wait for.
"""

from __future__ import annotations

import asyncio
from collections import deque

from deployments.seam.generation import Token
from deployments.seam.problems import Problem

SHARE = 3.0
"""The way is given this many times what an item takes on this side: the ingress, a process of its
own that often has the same cores, takes half as long again for it."""

LONGEST_S = 0.005
"""What takes longer than this was kept by something else: a reader that is slow, a busy loop."""


class StreamPacing:
    """The way out of one replica, shared by all of its streams, whose event ``loop`` is one.

    Streams that have tokens depart together. What an item takes is seen by when its stream comes
    back for more, and the next departure is as much later as ``share`` times all that is: the way
    is not asked to carry more items than it can. A stream whose reader is slow does not come back,
    and holds up nobody else. What is the first of its stream waits for nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, share: float = SHARE) -> None:
        self._loop = loop
        self._share = share
        self._arrived: deque[tuple[TokenBuffer, Token | Problem]] = deque()
        self._called = False
        self._laden: list[TokenBuffer] = []
        self._seen_at = 0.0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def new_buffer(self) -> TokenBuffer:
        """The buffer of one more stream."""
        return TokenBuffer(self)

    def arrived(self, buffer: TokenBuffer, item: Token | Problem) -> None:
        """From any thread: the loop is woken once for all that arrives until it looks."""
        self._arrived.append((buffer, item))
        if not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._look)

    def laden(self, buffer: TokenBuffer) -> None:
        """A stream waits, and its buffer has something for it."""
        self._laden.append(buffer)

    def begun(self) -> None:
        """A stream's first departure."""
        self._seen_at = self._loop.time()

    def returned(self) -> None:
        """A stream is back for more: what it took has left this side."""
        now = self._loop.time()
        took = min(now - self._seen_at, LONGEST_S)
        self._seen_at = now
        self._free_at = max(self._free_at, now - took) + self._share * took

    def depart(self) -> None:
        """Let the streams go that have something, now or when the way is free."""
        if not self._laden or self._timer is not None:
            return
        now = self._loop.time()
        if now < self._free_at:
            self._timer = self._loop.call_at(self._free_at, self._rested)
            return
        departing, self._laden = self._laden, []
        self._seen_at = now
        for buffer in departing:
            buffer.go()

    def _rested(self) -> None:
        self._timer = None
        self.depart()

    def _look(self) -> None:
        self._called = False  # before anything is taken: what comes from here on calls again
        while self._arrived:
            buffer, item = self._arrived.popleft()
            buffer.lay(item)
        self.depart()


class TokenBuffer:
    """The tokens of one stream on their way from an engine's thread, in order."""

    def __init__(self, way: StreamPacing) -> None:
        self._way = way
        self._tokens: list[Token] = []
        self._problem: Problem | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._began = False

    def put(self, item: Token | Problem) -> None:
        """From any thread."""
        self._way.arrived(self, item)

    async def take(self) -> tuple[tuple[Token, ...], Problem | None]:
        """Everything that is there when the way is free: tokens in order, and a problem, if any."""
        if self._began:
            self._way.returned()
        self._waiter = asyncio.get_running_loop().create_future()
        if self._tokens or self._problem:
            self._load()
            self._way.depart()
        try:
            await self._waiter
        finally:
            self._waiter = None
        tokens, self._tokens = self._tokens, []
        return tuple(tokens), self._problem

    def lay(self, item: Token | Problem) -> None:
        """On the loop: something has come."""
        waits = self._waiter is not None and not self._tokens and self._problem is None
        if isinstance(item, Problem):
            self._problem = self._problem or item
        else:
            self._tokens.append(item)
        if waits:
            self._load()

    def go(self) -> None:
        """Wake the stream, if it still waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _load(self) -> None:
        if self._began:
            self._way.laden(self)
        else:
            self._began = True
            self._way.begun()
            self.go()
