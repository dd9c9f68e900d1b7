"""The work-conserving batch: formed when the model becomes free, not when requests arrive.

``@serve.batch`` admits requests; here their items wait, and as soon as the model is free the next
batch is cut from what is there, items of like length together.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from deployments.pace import Pace
from deployments.seam import Problem
from deployments.steps import Steps
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


@dataclass(frozen=True, slots=True)
class Paused(Generic[I]):
    """In place of an answer: the item gave way to others, and goes on as ``item`` in its turn."""

    item: I


class Lane(Generic[I, R]):
    """The line to one model. ``run`` takes a batch, in a thread of the lane, and answers in its
    order; at most ``at_once`` batches run at a time.

    ``size`` is an item's length in tokens or pixels; only items of one ``kind`` share a forward.
    ``limits`` may change while running. A batch whose run raises, or that has more or fewer answers
    than items, is tried again item by item, so that only the bad one fails. ``observe`` is told of
    each batch before its answers go out. Each thread of the lane calls ``initialize`` first.

    With ``by_steps`` each batch takes many steps. Then ``run`` is given the :class:`Steps` of its
    batch as well and may answer an item with :class:`Paused`; an item without an answer after
    ``timeout_s`` becomes a problem at the next step.
    """

    def __init__(
        self,
        name: str,
        run: Callable[..., Sequence[R | Problem | Paused[I]]],
        size: Callable[[I], int],
        limits: Limits,
        kind: Callable[[I], Hashable] = lambda item: None,
        observe: Callable[[Forward], None] = lambda forward: None,
        clock: Callable[[], float] = time.monotonic,
        at_once: int = 1,
        initialize: Callable[[], None] | None = None,
        by_steps: bool = False,
        timeout_s: float = math.inf,
    ) -> None:
        self.limits = limits
        self._run, self._size, self._kind = run, size, kind
        self._observe, self._clock = observe, clock
        self._turns: Turns[I, R | Problem] = Turns()
        self._pace = Pace()
        self._threads = ThreadPoolExecutor(at_once, f"lane-{name}", initialize)
        self._at_once = at_once
        self._by_steps, self._timeout_s = by_steps, timeout_s
        self._running: dict[asyncio.Task[None], Steps] = {}
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
            kind, deadline = self._kind(items[i]), now + self._timeout_s
            self._queue(Waiting(items[i], size, kind, turn, futures[i], now, deadline))
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
        """Raises ``RuntimeError`` when a running batch, or one of its steps, has taken longer than
        ``stall_s``."""
        if any(self._clock() - steps.moved > stall_s for steps in self._running.values()):
            raise RuntimeError(f"a forward has been running for more than {stall_s:g} s")

    def close(self) -> None:
        """End it, and let the model go: Serve's batching holds the last job, and so the lane."""
        self._run = _closed
        for steps in self._running.values():
            steps.close()
        self._threads.shutdown(wait=False)

    def _queue(self, waiting: Waiting[I, R | Problem]) -> None:
        waiting.result.add_done_callback(partial(self._gone, waiting))
        self._turns.put(waiting)

    def _gone(self, waiting: Waiting[I, R | Problem], _: asyncio.Future[R | Problem]) -> None:
        self._turns.drop(waiting)

    def _begin(self) -> None:
        """Start what may run now."""
        self._due = None
        while len(self._running) < self._at_once:
            batch = self._turns.cut(self.limits, self._pace)
            if batch is None:
                return
            steps = Steps(batch.items, self._clock, self._turns.kinds)
            task = asyncio.get_running_loop().create_task(self._forward(batch, steps))
            self._running[task] = steps
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._begin()

    async def _forward(self, batch: Batch[I, R | Problem], steps: Steps) -> None:
        began, loop = self._clock(), asyncio.get_running_loop()
        work = partial(self._attempt, batch.items, steps)
        answers, seconds = await loop.run_in_executor(self._threads, work)
        self._turns.ended(batch)
        waits = tuple(began - waiting.since for waiting in batch.items)
        self._observe(Forward(waits, batch.fill, batch.padding, self._clock() - began))
        if seconds is not None:
            self._pace.learn(batch.volume, seconds)
        for waiting, answer in zip(batch.items, answers, strict=True):
            self._answered(waiting, answer)

    def _answered(self, waiting: Waiting[I, R | Problem], answer: R | Problem | Paused[I]) -> None:
        """Hand an answer on, or queue its item again where that was paused."""
        if waiting.result.done():
            return
        if self._by_steps and self._clock() > waiting.deadline:
            waiting.result.set_result(Problem("timeout", "The answer took too long."))
        elif isinstance(answer, Paused):
            item = answer.item
            more = replace(waiting, item=item, kind=self._kind(item), since=self._clock())
            self._queue(more)
        else:
            waiting.result.set_result(answer)

    def _attempt(
        self, rows: Sequence[Waiting[I, R | Problem]], steps: Steps
    ) -> tuple[Sequence[R | Problem | Paused[I]], float | None]:
        """Answers, and the seconds that their one forward took, if that did not fail."""
        began = self._clock()
        steps.begin(rows)
        try:
            return self._answers([row.item for row in rows], steps), self._clock() - began
        except Exception:  # the lane's thread is an outermost edge: nothing may stop it
            logger.exception("a batch of %d failed", len(rows))
            if len(rows) == 1:
                return [Problem("internal", "the model failed on this item")], None
            return [self._attempt([row], steps)[0][0] for row in rows], None

    def _answers(self, items: Sequence[I], steps: Steps) -> Sequence[R | Problem | Paused[I]]:
        """One answer an item: of more or fewer nobody knows whose they are."""
        answers = self._run(items, steps) if self._by_steps else self._run(items)
        if len(answers) != len(items):
            raise RuntimeError(f"the model gave {len(answers)} answers to {len(items)} items")
        return answers


def _closed(batch: Sequence[Any]) -> Sequence[Any]:
    raise RuntimeError("the lane is closed")
