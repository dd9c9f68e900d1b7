"""Token stream pacing: takes tokens from engines' threads, and gives them to streams in chunks.

Sending one item to the ingress costs the same whatever its size. So while sending is faster than
decoding, each token is sent at once and alone; when it is slower, the tokens that were decoded
meanwhile are sent together. No delay is configured.
"""

from __future__ import annotations

import asyncio
from collections import deque

from deployments.engine.tuning import MAX_ITEM_S, PACING_FACTOR
from deployments.seam.generation import Token
from deployments.seam.problems import Problem


class StreamPacing:
    """Paces all token streams of a replica, whose event ``loop`` is one.

    Streams that have tokens are flushed together. A stream that awaits its next item has sent its
    last one, which is how the time of an item is measured. The next flush is as much later as
    ``factor`` times the time of all items since. A slow reader does not await the next item, and
    so delays no other. The first token of a stream is never delayed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, factor: float = PACING_FACTOR) -> None:
        self._loop = loop
        self._factor = factor
        self._arrived: deque[tuple[TokenBuffer, Token | Problem]] = deque()
        self._woken = False
        self._ready: list[TokenBuffer] = []
        self._last_sent = 0.0
        self._next_flush = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def new_buffer(self) -> TokenBuffer:
        """Add a stream; returns its buffer."""
        return TokenBuffer(self)

    def put(self, buffer: TokenBuffer, item: Token | Problem) -> None:
        """From any thread: the loop is woken once for all items that arrive until it runs."""
        self._arrived.append((buffer, item))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._collect)

    def ready(self, buffer: TokenBuffer, *, first: bool) -> None:
        """Called when a stream waits and its buffer has items: flush now if they are its first."""
        if first:
            self._last_sent = self._loop.time()
            buffer.flush()
        else:
            self._ready.append(buffer)

    def sent(self) -> None:
        """Called when a stream has sent an item: postpone the next flush by the time that took."""
        now = self._loop.time()
        took = min(now - self._last_sent, MAX_ITEM_S)
        self._last_sent = now
        self._next_flush = max(self._next_flush, now - took) + self._factor * took

    def flush(self) -> None:
        """Flush the buffers that are ready, now or when it is time."""
        if not self._ready or self._timer is not None:
            return
        now = self._loop.time()
        if now < self._next_flush:
            self._timer = self._loop.call_at(self._next_flush, self._flush_on_time)
            return
        ready, self._ready = self._ready, []
        self._last_sent = now
        for buffer in ready:
            buffer.flush()

    def _flush_on_time(self) -> None:
        self._timer = None
        self.flush()

    def _collect(self) -> None:
        self._woken = False  # before anything is taken: items that arrive from here on wake again
        while self._arrived:
            buffer, item = self._arrived.popleft()
            buffer.append(item)
        self.flush()


class TokenBuffer:
    """The tokens of one stream between its engine's thread and its reader, in order."""

    def __init__(self, pacing: StreamPacing) -> None:
        self._pacing = pacing
        self._tokens: list[Token] = []
        self._problem: Problem | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._began = False

    def put(self, item: Token | Problem) -> None:
        """From any thread: add a token, or the failure that ends the stream."""
        self._pacing.put(self, item)

    async def take(self) -> tuple[tuple[Token, ...], Problem | None]:
        """Wait for the next flush; all tokens that are there, and the failure if there was one.

        For one reader, which awaits the next item when it has sent the last.
        """
        if self._began:
            self._pacing.sent()
        self._waiter = asyncio.get_running_loop().create_future()
        if self._tokens or self._problem:
            self._announce()
            self._pacing.flush()
        try:
            await self._waiter
        finally:
            self._waiter = None
        tokens, self._tokens = self._tokens, []
        return tuple(tokens), self._problem

    def append(self, item: Token | Problem) -> None:
        """On the loop: add an item, and announce it if the reader waits for the first."""
        waits = self._waiter is not None and not self._tokens and self._problem is None
        if isinstance(item, Problem):
            self._problem = self._problem or item
        else:
            self._tokens.append(item)
        if waits:
            self._announce()

    def flush(self) -> None:
        """Wake the reader, if it still waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _announce(self) -> None:
        first, self._began = not self._began, True
        self._pacing.ready(self, first=first)
