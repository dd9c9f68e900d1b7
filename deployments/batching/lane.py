"""The work-conserving batch: formed when the model becomes free, not when requests arrive.

``@serve.batch`` admits requests; here their items wait, and as soon as the model is free the next
batch is cut from what is there, items of like length together.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from traceback import format_exception
from typing import Any, Generic, TypeVar

from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.device_failures import FAILED, DeviceFailures, is_out_of_memory
from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.scheduler import (
    Batch,
    BatchLimits,
    BatchScheduler,
    QueuedItem,
    QueuedRequest,
)
from deployments.models.memory import give_back
from deployments.seam.problems import Problem

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
    ``limits`` may change while running. ``nbytes`` says what an item takes while it waits, and
    ``max_bytes`` bounds what all of them take. A batch whose run raises, or that has more or fewer
    answers than items, is tried again in halves, so that only the bad item fails. ``observe`` is
    told of each batch before its answers go out. Each thread of the lane calls ``initialize``
    first. Whatever any of them raises, every item is answered.

    With ``by_steps`` each batch takes many steps. Then ``run`` is given the :class:`DecodeSteps` of
    its batch as well and may answer an item with :class:`Paused`; an item without an answer after
    ``timeout_s`` becomes a problem at the next step.
    """

    def __init__(
        self,
        name: str,
        run: Callable[..., Sequence[R | Problem | Paused[I]]],
        size: Callable[[I], int],
        limits: BatchLimits,
        kind: Callable[[I], Hashable] = lambda item: None,
        observe: Callable[[Forward], None] = lambda forward: None,
        clock: Callable[[], float] = time.monotonic,
        at_once: int = 1,
        initialize: Callable[[], None] | None = None,
        nbytes: Callable[[I], int] = lambda item: 0,
        max_bytes: int | None = None,
        by_steps: bool = False,
        timeout_s: float = math.inf,
    ) -> None:
        self.name = name
        self.limits = limits
        self._run, self._size, self._kind = run, size, kind
        self._observe, self._clock = observe, clock
        self._nbytes, self._max_bytes = nbytes, max_bytes
        self._turns: BatchScheduler[I, R | Problem] = BatchScheduler()
        self._pace = ForwardTimeModel()
        begin = None if initialize is None else partial(_started, name, initialize)
        self._threads = ThreadPoolExecutor(at_once, f"lane-{name}", begin)
        self._at_once = at_once
        self._by_steps, self._timeout_s = by_steps, timeout_s
        self._running: dict[asyncio.Task[None], DecodeSteps] = {}
        self._failures = DeviceFailures()
        self._good: QueuedItem[I, R | Problem] | None = None  # a row that was answered once
        self._due: asyncio.Handle | None = None
        self._wanting: deque[asyncio.Event] = deque()  # of those that wait for room, in order

    def admit(
        self, items: Sequence[I], turn: QueuedRequest | None = None
    ) -> list[asyncio.Future[R | Problem]]:
        """Queue ``items``; one future each. Cancelling a future drops its item if still queued.

        Items that are admitted under one ``turn`` count as one request's.
        """
        loop, now, turn = asyncio.get_running_loop(), self._clock(), turn or QueuedRequest()
        sized = sorted(((max(1, self._size(item)), i) for i, item in enumerate(items)))
        futures = [loop.create_future() for _ in items]
        for size, i in sized:
            item = items[i]
            kind, deadline, nbytes = self._kind(item), now + self._timeout_s, self._nbytes(item)
            self._queue(QueuedItem(item, size, kind, turn, futures[i], now, deadline, nbytes))
        if self._due is None:  # not at once: what else comes now may share the forward
            self._due = loop.call_soon(self._begin)
        return futures

    def has_room_for(self, items: Sequence[I]) -> bool:
        """Whether ``items`` may wait, too. What is too much by itself may, where nothing waits."""
        if self._max_bytes is None or not self._turns.nbytes:
            return True
        return self._turns.nbytes + sum(map(self._nbytes, items)) <= self._max_bytes

    async def room(self, is_there: Callable[[int], bool]) -> None:
        """Wait until ``is_there``, which is told how many bytes are free, and asked again whenever
        that may have changed. Only who came first is asked: nobody is overtaken."""
        changed = asyncio.Event()
        self._wanting.append(changed)
        try:
            while self._wanting[0] is not changed or not is_there(self.free_bytes):
                changed.clear()
                await changed.wait()
        finally:
            self._wanting.remove(changed)
            self.look_for_room()  # for the next one there may be room as well

    @property
    def free_bytes(self) -> int:
        """How much more may wait."""
        return sys.maxsize if self._max_bytes is None else self._max_bytes - self._turns.nbytes

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
        ``stall_s``, or when the device is lost: forwards in this process then fail for ever."""
        if any(self._clock() - steps.moved > stall_s for steps in self._running.values()):
            raise RuntimeError(f"a forward has been running for more than {stall_s:g} s")
        self._failures.check()

    def close(self) -> None:
        """End it, and let the model go: Serve's batching holds the last job, and so the lane."""
        self._run, self._good = _closed, None
        for steps in list(self._running.values()):  # the loop may end one meanwhile
            steps.close()
        self._threads.shutdown(wait=False)

    def _queue(self, waiting: QueuedItem[I, R | Problem]) -> None:
        waiting.result.add_done_callback(partial(self._gone, waiting))
        self._turns.put(waiting)

    def _gone(self, waiting: QueuedItem[I, R | Problem], _: asyncio.Future[R | Problem]) -> None:
        self._turns.drop(waiting)
        self.look_for_room()

    def look_for_room(self) -> None:
        """Let the first one that waits for room look again."""
        if self._wanting:
            self._wanting[0].set()

    def _begin(self) -> None:
        """Start what may run now."""
        self._due = None
        while len(self._running) < self._at_once:
            batch = self._turns.cut(self.limits, self._pace)
            if batch is None:
                return
            self.look_for_room()
            steps = DecodeSteps(batch.items, self._clock, self._turns.kinds)
            task = asyncio.get_running_loop().create_task(self._forward(batch, steps))
            self._running[task] = steps
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._begin()

    async def _forward(self, batch: Batch[I, R | Problem], steps: DecodeSteps) -> None:
        began, rows = self._clock(), batch.items
        answers: Sequence[R | Problem | Paused[I]] = [FAILED] * len(rows)
        try:
            loop = asyncio.get_running_loop()
            work = partial(self._attempt, rows, steps)
            answers, seconds = await loop.run_in_executor(self._threads, work)
            if seconds is not None:
                self._pace.learn(batch.volume, seconds)
            waits = tuple(began - waiting.since for waiting in rows)
            self._observe(Forward(waits, batch.fill, batch.padding, self._clock() - began))
        except Exception:  # the lane's task is an outermost edge: whoever waits is answered
            logger.exception("a batch of %d was not observed, or not run", len(rows))
        finally:
            self._turns.ended(batch)
            for waiting, answer in zip(rows, answers, strict=True):
                self._answered(waiting, answer)

    def _answered(
        self, waiting: QueuedItem[I, R | Problem], answer: R | Problem | Paused[I]
    ) -> None:
        """Hand an answer on, or queue its item again where that was paused."""
        if waiting.result.done():
            return
        if self._by_steps and self._clock() > waiting.deadline:
            waiting.result.set_result(Problem("timeout", "The answer took too long."))
        elif isinstance(answer, Paused):
            item, now = answer.item, self._clock()
            kind, nbytes = self._kind(item), self._nbytes(item)
            self._queue(replace(waiting, item=item, kind=kind, since=now, nbytes=nbytes))
        else:
            waiting.result.set_result(answer)

    def _attempt(
        self, rows: Sequence[QueuedItem[I, R | Problem]], steps: DecodeSteps
    ) -> tuple[Sequence[R | Problem | Paused[I]], float | None]:
        """Answers, and the seconds that their one forward took, if that did not fail."""
        began = self._clock()
        answers = self._tried(rows, steps)
        if answers is not None:
            self._failures.forget()
            self._good = rows[0] if self._good is None else self._good
            return answers, self._clock() - began
        found = self._in_halves(rows, steps)
        self._failures.batch(all(answer is FAILED for answer in found))
        if self._failures.suspected and self._good and self._tried([self._good], steps):
            self._failures.forget()  # it was the items after all
        return found, None

    def _in_halves(
        self, rows: Sequence[QueuedItem[I, R | Problem]], steps: DecodeSteps
    ) -> list[R | Problem | Paused[I]]:
        """Answers to items whose forward has failed together."""
        if len(rows) == 1 or self._failures.device_lost:
            return [FAILED] * len(rows)
        middle = len(rows) // 2
        found: list[R | Problem | Paused[I]] = []
        for half in (rows[:middle], rows[middle:]):
            answers = self._tried(half, steps)
            found += self._in_halves(half, steps) if answers is None else answers
        return found

    def _tried(
        self, rows: Sequence[QueuedItem[I, R | Problem]], steps: DecodeSteps
    ) -> Sequence[R | Problem | Paused[I]] | None:
        """The answers of one forward, or ``None`` when it failed.

        By then its tensors are gone: a traceback, or a log that keeps records, would hold them, and
        the next forward needs their memory.
        """
        steps.begin(rows)
        try:
            return self._answers([row.item for row in rows], steps)
        except Exception as error:  # noqa: BLE001  the lane's thread is an outermost edge
            trace = "".join(format_exception(error))
            logger.error("a forward of %d failed\n%s", len(rows), trace)  # noqa: TRY400
            self._failures.forward(error)
            out_of_memory = is_out_of_memory(error)
        if out_of_memory:
            give_back()
        return None

    def _answers(self, items: Sequence[I], steps: DecodeSteps) -> Sequence[R | Problem | Paused[I]]:
        """One answer an item: of more or fewer nobody knows whose they are."""
        answers = self._run(items, steps) if self._by_steps else self._run(items)
        if len(answers) != len(items):
            raise RuntimeError(f"the model gave {len(answers)} answers to {len(items)} items")
        return answers


def _started(name: str, initialize: Callable[[], None]) -> None:
    """An executor whose initializer raises would take no more work, ever."""
    try:
        initialize()
    except Exception:  # the lane's thread is an outermost edge
        logger.exception("a thread of the lane %s begins without its settings", name)


def _closed(*_: Any) -> Sequence[Any]:
    raise RuntimeError("the lane is closed")
