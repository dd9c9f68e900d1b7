"""The lane of one model: items wait in its queue, and as soon as the model is free the next batch
is formed of them.

``@serve.batch`` only admits requests: it would form batches when requests arrive.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from deployments.batching.batch import Batch
from deployments.batching.batch_runner import BatchedModel, BatchRunner, Paused
from deployments.batching.busy_time import BusyTime, RecentBatches
from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.device_failures import FAILED, DeviceFailures
from deployments.batching.forward_stages import record_forward
from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.queue_room import QueueRoom
from deployments.batching.scheduler import (
    BatchLimits,
    BatchScheduler,
    QueuedItem,
    QueuedRequest,
)
from deployments.metrics.binding_limit import BindingLimit, Limit, of_batches
from deployments.metrics.meter import Forward
from deployments.models.fair_shares import NOBODY, Owner
from deployments.models.process_end import interpreter_ends
from deployments.seam.problems import Problem

logger = logging.getLogger(__name__)

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


class Lane(Generic[I, R]):
    """Batches the items of one model. Has a queue, a scheduler and the threads that run batches.

    ``limits`` may be replaced while it runs. ``observe`` is called with each batch before its
    answers go out. Each thread calls ``initialize`` first. ``max_bytes`` bounds the memory of
    waiting items. An item of a model that decodes ``by_steps`` becomes a problem at the first step
    after ``timeout_s``. Every item is answered, whatever any of them raises, but for those
    that wait when the process ends.
    """

    def __init__(
        self,
        name: str,
        model: BatchedModel[I, R],
        limits: BatchLimits,
        device: DeviceFailures,
        observe: Callable[[Forward], None],
        *,
        initialize: Callable[[], None] | None = None,
        max_bytes: int | None = None,
        timeout_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.limits = limits
        self._observe, self._clock = observe, clock
        self._timeout_s = timeout_s
        self._scheduler: BatchScheduler[I, R | Problem] = BatchScheduler()
        self.room = QueueRoom(self._scheduler, max_bytes)
        self._forward_time = ForwardTimeModel()
        self._runner = BatchRunner(model, device, clock)
        begin = None if initialize is None else partial(_initialized, name, initialize)
        self._threads = ThreadPoolExecutor(model.concurrency, f"lane-{name}", begin)
        self._running: dict[asyncio.Task[None], DecodeSteps] = {}
        self._busy = BusyTime(model.concurrency, clock)
        self._batches = RecentBatches(clock)
        self._start_due: asyncio.Handle | None = None

    def admit(
        self, items: Sequence[I], request: QueuedRequest | None = None
    ) -> list[asyncio.Future[R | Problem]]:
        """Queue ``items``; one future each. Cancelling a future drops its item if it still waits.

        Items that are admitted under one ``request`` take turns with other requests as one.
        """
        loop, now, request = asyncio.get_running_loop(), self._clock(), request or QueuedRequest()
        model = self._runner.model
        sized = sorted(((max(1, model.size(item)), i) for i, item in enumerate(items)))
        futures = [loop.create_future() for _ in items]
        for size, i in sized:
            kind, deadline, nbytes = (
                model.kind(items[i]),
                now + self._timeout_s,
                model.nbytes(items[i]),
            )
            self._queue(
                QueuedItem(items[i], size, kind, request, futures[i], now, deadline, nbytes)
            )
        if self._start_due is None:  # a moment later, so that items that come now share the batch
            self._start_due = loop.call_soon(self._start_batches)
        return futures

    def has_room_for(self, items: Sequence[I], owner: Owner = NOBODY) -> bool:
        """Whether ``items`` of ``owner`` may wait as well. Any may where nothing waits."""
        return self.room.fits(sum(map(self._runner.model.nbytes, items)), owner.tenant)

    @property
    def depth(self) -> int:
        """Items that wait."""
        return len(self._scheduler)

    @property
    def waiting_seconds(self) -> float:
        """How long the forwards over the items that wait will take, as the model predicts it."""
        limits = self.limits
        seconds = self._forward_time.total_seconds(
            len(self._scheduler),
            self._scheduler.volume,
            max_items=limits.max_items,
            max_volume=limits.max_volume,
            max_seconds=limits.max_seconds,
        )
        return seconds / self._runner.model.concurrency

    @property
    def busy(self) -> float:
        """The part of the last seconds in which forwards ran, of as many as may run at a time."""
        return self._busy.fraction()

    def binding_limit(self, volume: Limit) -> BindingLimit | None:
        """Why it answers no faster; ``volume`` is what its limit of tokens or pixels is called."""
        return of_batches(self.busy, self.depth, self._batches.ends(), volume)

    def warm_up(self, batches: Sequence[Sequence[I]]) -> None:
        """Run each batch twice, the second time to learn how long it takes. Blocks.

        Raises what the model raises.
        """
        for items in batches:
            self._threads.submit(self._runner.run_unqueued, items).result()
            seconds = self._threads.submit(self._runner.run_unqueued, items).result()
            volume = len(items) * max(map(self._runner.model.size, items))
            self._forward_time.learn(volume, seconds)

    def check(self, stall_s: float) -> None:
        """Raises ``RuntimeError`` when a running batch, or one of its decode steps, has taken more
        than ``stall_s``, or when forwards of this model cannot succeed any more."""
        now = self._clock()
        if any(now - steps.last_progress > stall_s for steps in self._running.values()):
            raise RuntimeError(f"a forward has been running for more than {stall_s:g} s")
        self._runner.check()

    def close(self) -> None:
        """Drop the model, end batches that decode at their next step, and end the threads."""
        self._runner.close()
        for steps in list(self._running.values()):  # the loop may remove one meanwhile
            steps.close()
        self._threads.shutdown(wait=False)

    def _queue(self, item: QueuedItem[I, R | Problem]) -> None:
        item.result.add_done_callback(partial(self._drop, item))
        self._scheduler.add(item)

    def _drop(self, item: QueuedItem[I, R | Problem], _: asyncio.Future[R | Problem]) -> None:
        self._scheduler.remove(item)
        self.room.recheck()

    def _start_batches(self) -> None:
        self._start_due = None
        while len(self._running) < self._runner.model.concurrency:
            batch = self._scheduler.next_batch(self.limits, self._forward_time, self._clock())
            if batch is None:
                return
            self.room.recheck()
            self._batches.add(batch.ended_by)
            steps = DecodeSteps(batch.items, self._clock, self._scheduler.kinds)
            task = asyncio.get_running_loop().create_task(self._run(batch, steps))
            self._running[task] = steps
            self._busy.begin(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._busy.end(task)
        self._start_batches()

    async def _run(self, batch: Batch[I, R | Problem], steps: DecodeSteps) -> None:
        began, rows = self._clock(), batch.items
        answers: Sequence[R | Problem | Paused[I]] = [FAILED] * len(rows)
        try:
            loop = asyncio.get_running_loop()
            work = partial(self._runner.run, rows, steps)
            answers, seconds = await loop.run_in_executor(self._threads, work)
            if seconds is not None:
                self._forward_time.learn(batch.volume, seconds)
            waits = tuple(began - row.queued_at for row in rows)
            ended = self._clock()
            self._observe(Forward(waits, batch.fill, batch.padding, ended - began))
            record_forward(rows, began, ended)
        except Exception:  # the lane's task is an outermost edge: every item is answered
            if interpreter_ends():
                rows, answers = [], []
            else:
                logger.exception("a batch of %d was not observed, or not run", len(rows))
        finally:
            self._scheduler.finished(batch)
            for row, answer in zip(rows, answers, strict=True):
                self._answer(row, answer)

    def _answer(self, row: QueuedItem[I, R | Problem], answer: R | Problem | Paused[I]) -> None:
        """Give an answer to its caller, or queue an item again that was paused."""
        model, now = self._runner.model, self._clock()
        if row.result.done():
            return
        if model.by_steps and now > row.deadline:
            row.result.set_result(Problem("timeout", "The answer took too long."))
        elif isinstance(answer, Paused):
            item = answer.item
            kind, nbytes = model.kind(item), model.nbytes(item)
            self._queue(replace(row, item=item, kind=kind, queued_at=now, nbytes=nbytes))
        else:
            row.result.set_result(answer)


def _initialized(name: str, initialize: Callable[[], None]) -> None:
    """Call ``initialize``: an executor whose initializer raises would never take work again."""
    try:
        initialize()
    except Exception:  # the lane's thread is an outermost edge
        logger.exception("a thread of the lane %s begins without its settings", name)
