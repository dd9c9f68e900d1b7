"""The work-conserving batch: formed when the model becomes free, not when requests arrive.

``@serve.batch`` admits requests; here their items wait, and as soon as the model is free the next
batch is cut from what is there, items of like length together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from deployments.seam import Problem

logger = logging.getLogger(__name__)

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Waiting(Generic[I, R]):
    item: I
    size: int
    result: asyncio.Future[R | Problem]
    since: float


class Lane(Generic[I, R]):
    """One model's queue. ``run`` takes a batch, in the lane's thread, and answers in its order.

    ``size`` is an item's length in tokens; ``max_items`` bounds a batch and may change while
    running. The item that has waited longest is in the next batch, together with those nearest to
    it in length, so none waits for ever and little of a batch is padding. A batch whose run raises
    is tried again item by item, so that only the bad one fails. ``observe`` is told, as a batch
    begins, how long each of its items has waited, in seconds, and the bound on their number.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[I]], Sequence[R | Problem]],
        size: Callable[[I], int],
        max_items: int,
        observe: Callable[[Sequence[float], int], None] | None = None,
    ) -> None:
        self.max_items = max_items
        self._observe = observe
        self._run = run
        self._size = size
        self._waiting: list[Waiting[I, R]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"lane-{name}")
        self._busy_since: float | None = None
        self._worker: asyncio.Task[None] | None = None

    def admit(self, items: Sequence[I]) -> list[asyncio.Future[R | Problem]]:
        """Queue ``items``; one future each. Cancelling a future drops its item if still queued."""
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        admitted = [Waiting(item, self._size(item), loop.create_future(), now) for item in items]
        self._waiting += admitted
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        return [waiting.result for waiting in admitted]

    @property
    def depth(self) -> int:
        return len(self._waiting)

    def check(self, stall_s: float) -> None:
        """Raises ``RuntimeError`` when the running batch has taken longer than ``stall_s``."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > stall_s:
            raise RuntimeError(f"a forward has been running for more than {stall_s:g} s")

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            items = [waiting.item for waiting in batch]
            self._busy_since = began = time.monotonic()
            if self._observe is not None:
                self._observe([began - waiting.since for waiting in batch], self.max_items)
            answers = await loop.run_in_executor(self._thread, self._attempt, items)
            self._busy_since = None
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.result.done():
                    waiting.result.set_result(answer)

    def _next_batch(self) -> list[Waiting[I, R]]:
        self._waiting = [waiting for waiting in self._waiting if not waiting.result.done()]
        if not self._waiting:
            return []
        oldest = self._waiting[0]
        others = sorted(self._waiting[1:], key=lambda waiting: abs(waiting.size - oldest.size))
        batch = [oldest, *others[: self.max_items - 1]]
        taken = set(map(id, batch))
        self._waiting = [waiting for waiting in self._waiting if id(waiting) not in taken]
        return sorted(batch, key=lambda waiting: waiting.size)

    def _attempt(self, items: Sequence[I]) -> Sequence[R | Problem]:
        try:
            return self._run(items)
        except Exception:  # the lane's thread is an outermost edge: nothing may stop it
            logger.exception("a batch of %d failed", len(items))
            if len(items) == 1:
                return [Problem("internal", "the model failed on this item")]
            return [self._attempt([item])[0] for item in items]
