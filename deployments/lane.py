"""The work-conserving batch: formed when the model becomes free, not when requests arrive.

``@serve.batch`` admits requests; here their items wait, and as soon as the model is free the next
batch is cut from what is there, items of like length together.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from traceback import format_exception
from typing import Any, Generic, TypeVar

from deployments.failures import FAILED, Failures, is_out_of_memory
from deployments.memory import give_back
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
    ``limits`` may change while running. ``nbytes`` says what an item takes while it waits, and
    ``max_bytes`` bounds what all of them take. A batch whose run raises, or that has more or fewer
    answers than items, is tried again in halves, so that only the bad item fails. ``observe`` is
    told of each batch before its answers go out. Each thread of the lane calls ``initialize``
    first. Whatever any of them raises, every item is answered.
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
        nbytes: Callable[[I], int] = lambda item: 0,
        max_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.limits = limits
        self._run, self._size, self._kind = run, size, kind
        self._observe, self._clock = observe, clock
        self._nbytes, self._max_bytes = nbytes, max_bytes
        self._turns: Turns[I, R | Problem] = Turns()
        self._pace = Pace()
        begin = None if initialize is None else partial(_started, name, initialize)
        self._threads = ThreadPoolExecutor(at_once, f"lane-{name}", begin)
        self._at_once = at_once
        self._running: dict[asyncio.Task[None], float] = {}
        self._failures = Failures()
        self._good: I | None = None  # an item that was answered once
        self._due: asyncio.Handle | None = None
        self._wanting: list[asyncio.Future[None]] = []  # of those that wait for room

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
            item, nbytes = items[i], self._nbytes(items[i])
            waiting = Waiting(item, size, self._kind(item), turn, futures[i], now, nbytes)
            futures[i].add_done_callback(partial(self._gone, waiting))
            self._turns.put(waiting)
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
        that may have changed. Those that wait are asked in the order in which they came."""
        while not is_there(self.free_bytes):
            changed = asyncio.get_running_loop().create_future()
            self._wanting.append(changed)
            await changed

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
        """Raises ``RuntimeError`` when a running batch has taken longer than ``stall_s``, or when
        the device is lost: forwards in this process then fail for ever."""
        if any(self._clock() - since > stall_s for since in self._running.values()):
            raise RuntimeError(f"a forward has been running for more than {stall_s:g} s")
        self._failures.check()

    def close(self) -> None:
        """End it, and let the model go: Serve's batching holds the last job, and so the lane."""
        self._run, self._good = _closed, None
        self._threads.shutdown(wait=False)

    def _gone(self, waiting: Waiting[I, R | Problem], _: asyncio.Future[R | Problem]) -> None:
        self._turns.drop(waiting)
        self.look_for_room()

    def look_for_room(self) -> None:
        """Let those that wait for room look again."""
        wanting, self._wanting = self._wanting, []
        for changed in wanting:
            if not changed.done():
                changed.set_result(None)

    def _begin(self) -> None:
        """Start what may run now."""
        self._due = None
        while len(self._running) < self._at_once:
            batch = self._turns.cut(self.limits, self._pace)
            if batch is None:
                return
            self.look_for_room()
            task = asyncio.get_running_loop().create_task(self._forward(batch))
            self._running[task] = self._clock()
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._begin()

    async def _forward(self, batch: Batch[I, R | Problem]) -> None:
        began, items = self._clock(), [waiting.item for waiting in batch.items]
        answers: Sequence[R | Problem] = [FAILED] * len(items)
        try:
            loop = asyncio.get_running_loop()
            answers, seconds = await loop.run_in_executor(self._threads, self._attempt, items)
            if seconds is not None:
                self._pace.learn(batch.volume, seconds)
            waits = tuple(began - waiting.since for waiting in batch.items)
            self._observe(Forward(waits, batch.fill, batch.padding, self._clock() - began))
        except Exception:  # the lane's task is an outermost edge: whoever waits is answered
            logger.exception("a batch of %d was not observed, or not run", len(items))
        finally:
            self._turns.ended(batch)
            for waiting, answer in zip(batch.items, answers, strict=True):
                if not waiting.result.done():
                    waiting.result.set_result(answer)

    def _attempt(self, items: Sequence[I]) -> tuple[Sequence[R | Problem], float | None]:
        """Answers, and the seconds that their one forward took, if that did not fail."""
        began = self._clock()
        answers = self._tried(items)
        if answers is not None:
            self._failures.forget()
            self._good = items[0] if self._good is None else self._good
            return answers, self._clock() - began
        found = self._in_halves(items)
        self._failures.batch(all(answer is FAILED for answer in found))
        if self._failures.suspected and self._good is not None and self._tried([self._good]):
            self._failures.forget()  # it was the items after all
        return found, None

    def _in_halves(self, items: Sequence[I]) -> list[R | Problem]:
        """Answers to items whose forward has failed together."""
        if len(items) == 1 or self._failures.device_lost:
            return [FAILED] * len(items)
        middle = len(items) // 2
        found: list[R | Problem] = []
        for half in (items[:middle], items[middle:]):
            answers = self._tried(half)
            found += self._in_halves(half) if answers is None else answers
        return found

    def _tried(self, items: Sequence[I]) -> Sequence[R | Problem] | None:
        """The answers of one forward, or ``None`` when it failed.

        By then its tensors are gone: a traceback, or a log that keeps records, would hold them, and
        the next forward needs their memory.
        """
        try:
            return self._answers(items)
        except Exception as error:  # noqa: BLE001  the lane's thread is an outermost edge
            trace = "".join(format_exception(error))
            logger.error("a forward of %d failed\n%s", len(items), trace)  # noqa: TRY400
            self._failures.forward(error)
            out_of_memory = is_out_of_memory(error)
        if out_of_memory:
            give_back()
        return None

    def _answers(self, items: Sequence[I]) -> Sequence[R | Problem]:
        """One answer an item: of more or fewer nobody knows whose they are."""
        answers = self._run(items)
        if len(answers) != len(items):
            raise RuntimeError(f"the model gave {len(answers)} answers to {len(items)} items")
        return answers


def _started(name: str, initialize: Callable[[], None]) -> None:
    """An executor whose initializer raises would take no more work, ever."""
    try:
        initialize()
    except Exception:  # the lane's thread is an outermost edge
        logger.exception("a thread of the lane %s begins without its settings", name)


def _closed(batch: Sequence[Any]) -> Sequence[Any]:
    raise RuntimeError("the lane is closed")
