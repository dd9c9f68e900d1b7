"""A model whose forwards end when the test lets them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from deployments.seam.problems import Problem

PATIENCE_S = 30.0


class Forwards:
    """Answers an item with its double. Each forward is reported, then waits for :meth:`end`."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.batches: list[list[int]] = []
        self.thread: threading.Thread | None = None
        self._loop = loop or asyncio.get_running_loop()
        self._started: asyncio.Queue[list[int]] = asyncio.Queue()
        self._permits = threading.Semaphore(0)

    def __call__(self, batch: Sequence[int]) -> Sequence[int | Problem]:
        self.thread = threading.current_thread()
        self._loop.call_soon_threadsafe(self._started.put_nowait, list(batch))
        assert self._permits.acquire(timeout=PATIENCE_S), "nobody let the forward end"
        self.batches.append(list(batch))
        return [item * 2 for item in batch]

    async def started(self) -> list[int]:
        """The batch of the next forward, once it runs."""
        return await asyncio.wait_for(self._started.get(), PATIENCE_S)

    def end(self, forwards: int = 1) -> None:
        self._permits.release(forwards)
