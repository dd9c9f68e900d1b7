"""The work-conserving batch: formed when the model becomes free, not when requests arrive.

``@serve.batch`` admits requests; here their items wait, and as soon as the model is free the next
batch is cut from what is there, items of like length together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from deployments.pace import Pace
from deployments.seam import Problem
from deployments.turns import Batch, Limits, Turn, Turns, Waiting

logger = logging.getLogger(__name__)

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Forward:
    """What one batch was like: how long each item had waited, how much of what it might hold it
    held, how much of it was padding (both from 0 to 1), and the seconds that it took."""

    waits_s: tuple[float, ...]
    fill: float
    padding: float
    seconds: float


class Lane(Generic[I, R]):
    """The line to one model. ``run`` takes a batch, in a thread of the lane, and answers in its
    order; at most ``at_once`` batches run at a time.

    ``size`` is an item's length in tokens or pixels; only items of one ``kind`` share a forward.
    ``limits`` may change while running. A batch whose run raises, or that has more or fewer answers
    than items, is tried again item by item, so that only the bad one fails. ``observe`` is told of
    each batch before its answers go out. Each thread of the lane calls ``initialize`` first.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[I]], Sequence[R | Problem]],
        size: Callable[[I], int],
        limits: Limits,
        kind: Callable[[I], Hashable] = lambda item: None,
        observe: Callable[[Forward], None] = lambda forward: None,
        clock: Callable[[], float] = time.monotonic,
        at_once: int = 1,
        initialize: Callable[[], None] | None = None,
    ) -> None:
        self.limits = limits
        self._run, self._size, self._kind = run, size, kind
        self._observe, self._clock = observe, clock
        self._turns: Turns[I, R | Problem] = Turns()
        self._pace = Pace()
        self._threads = ThreadPoolExecutor(at_once, f"lane-{name}", initialize)
        self._at_once = at_once
        self._running: dict[asyncio.Task[None], float] = {}
        self._due: asyncio.Handle | None = None

    def admit(
        self, items: Sequence[I], turn: Turn | None = None
    ) -> list[asyncio.Future[R | Problem]]:
        """Queue ``items``; one future each. Cancelling a future drops its item if still queued.

        Items that are admitted under one ``turn`` count as one request's.
        """
        loop, now, turn = asyncio.get_running_loop(), self._clock(), turn or Turn()
        sized = sorted(((max(1, self._size(item)), i) for i, item in enumerate(items)))
        futures = [loop.create_future() for _ in items]
        for size, i in sized:
            waiting = Waiting(items[i], size, self._kind(items[i]), turn, futures[i], now)
            futures[i].add_done_callback(partial(self._gone, waiting))
            self._turns.put(waiting)
        if self._due is None:  # not at once: what else comes now may share the forward
            self._due = loop.call_soon(self._begin)
        return futures

    @property
    def depth(self) -> int:
        """Items that wait."""
        return len(self._turns)

    def warm_up(self, batches: Sequence[Sequence[I]]) -> None:
        """Run each batch twice, the second time to learn how long it takes. Blocks.

        Raises what the model raises.
        """
        for items in batches:
            self._threads.submit(self._run, items).result()
            began = self._clock()
            self._threads.submit(self._run, items).result()
            self._pace.learn(len(items) * max(map(self._size, items)), self._clock() - began)

    def check(self, stall_s: float) -> None:
        """Raises ``RuntimeError`` when a running batch has taken longer than ``stall_s``."""
        if any(self._clock() - since > stall_s for since in self._running.values()):
            raise RuntimeError(f"a forward has been running for more than {stall_s:g} s")

    def close(self) -> None:
        """End it, and let the model go: Serve's batching holds the last job, and so the lane."""
        self._run = _closed
        self._threads.shutdown(wait=False)

    def _gone(self, waiting: Waiting[I, R | Problem], _: asyncio.Future[R | Problem]) -> None:
        self._turns.drop(waiting)

    def _begin(self) -> None:
        """Start what may run now."""
        self._due = None
        while len(self._running) < self._at_once:
            batch = self._turns.cut(self.limits, self._pace)
            if batch is None:
                return
            task = asyncio.get_running_loop().create_task(self._forward(batch))
            self._running[task] = self._clock()
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._begin()

    async def _forward(self, batch: Batch[I, R | Problem]) -> None:
        began, items = self._clock(), [waiting.item for waiting in batch.items]
        loop = asyncio.get_running_loop()
        answers, seconds = await loop.run_in_executor(self._threads, self._attempt, items)
        self._turns.ended(batch)
        waits = tuple(began - waiting.since for waiting in batch.items)
        self._observe(Forward(waits, batch.fill, batch.padding, self._clock() - began))
        if seconds is not None:
            self._pace.learn(batch.volume, seconds)
        for waiting, answer in zip(batch.items, answers, strict=True):
            if not waiting.result.done():
                waiting.result.set_result(answer)

    def _attempt(self, items: Sequence[I]) -> tuple[Sequence[R | Problem], float | None]:
        """Answers, and the seconds that their one forward took, if that did not fail."""
        began = self._clock()
        try:
            return self._answers(items), self._clock() - began
        except Exception:  # the lane's thread is an outermost edge: nothing may stop it
            logger.exception("a batch of %d failed", len(items))
            if len(items) == 1:
                return [Problem("internal", "the model failed on this item")], None
            return [self._attempt([item])[0][0] for item in items], None

    def _answers(self, items: Sequence[I]) -> Sequence[R | Problem]:
        """One answer an item: of more or fewer nobody knows whose they are."""
        answers = self._run(items)
        if len(answers) != len(items):
            raise RuntimeError(f"the model gave {len(answers)} answers to {len(items)} items")
        return answers


def _closed(batch: Sequence[Any]) -> Sequence[Any]:
    raise RuntimeError("the lane is closed")
