"""What one replica saw, on its way to the ledger in batches."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TypeAlias, TypeVar

from deployments.metrics.report import FinishedRequest, MetricReport, MetricSample, gathered
from deployments.metrics.signals import LOST

T = TypeVar("T")

INTERVAL_S = 0.25
RETRY_S = 1.0
BEAT_S = 2.0
DELIVERY_S = 5.0
MOST_KEPT = 50_000
"""Samples, and requests, that are kept while the ledger is away; beyond them the oldest go."""

MOST_SENT = 5_000

Deliver: TypeAlias = Callable[[MetricReport], Awaitable[None]]


class NotDelivered(Exception):
    """The ledger may not have got the batch; it is to be sent again."""


class Reporter:
    """Keeps what is noted, and delivers it: at once when idle, else four times a second.

    Batches go one at a time, each again and again until it has arrived. With ``gauges`` there is
    one every two seconds at least, so that the ledger knows that the replica lives. ``mirror``
    sees every batch once. Notes may come from any thread; delivery begins with :meth:`start`, or
    with the first note on an event loop.
    """

    def __init__(
        self,
        deliver: Deliver,
        gauges: Callable[[], Iterable[MetricSample]] | None = None,
        mirror: Callable[[MetricReport], None] | None = None,
    ) -> None:
        self._deliver = deliver
        self._gauges = gauges
        self._mirror = mirror
        self._name = uuid.uuid4().hex
        self._number = 0
        self._samples: deque[MetricSample] = deque()
        self._finished: deque[FinishedRequest] = deque()
        self._lost = 0
        self._guard = threading.Lock()
        self._unsure: MetricReport | None = None
        self._delivering = asyncio.Lock()
        self._dirty = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: asyncio.Task[None] | None = None

    def note(
        self, samples: Iterable[MetricSample], finished: FinishedRequest | None = None
    ) -> None:
        with self._guard:
            self._samples.extend(samples)
            if finished is not None:
                self._finished.append(finished)
            while len(self._samples) > MOST_KEPT:
                self._samples.popleft()
                self._lost += 1
            while len(self._finished) > MOST_KEPT:
                self._finished.popleft()
        if not self._dirty.is_set():
            self._wake()

    def start(self) -> None:
        """Begin to deliver, on the event loop that runs this. Idempotent."""
        self._loop = asyncio.get_running_loop()
        self._dirty.set()
        if self._worker is None or self._worker.done():
            self._worker = self._loop.create_task(self._work())

    async def flush(self, *, beat: bool = False) -> bool:
        """Deliver what was noted so far; false when the ledger cannot be reached.

        With ``beat`` there is a batch even when nothing was noted.
        """
        async with self._delivering:
            while (report := self._next(beat=beat)) is not None:
                try:
                    async with asyncio.timeout(DELIVERY_S):
                        await self._deliver(report)
                except (NotDelivered, TimeoutError):
                    return False
                self._unsure, beat = None, False
            return True

    def _wake(self) -> None:
        with suppress(RuntimeError):  # no loop on this thread yet, or none any more
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self.start)
            else:
                self.start()

    async def _work(self) -> None:
        """Until nothing is left; with gauges for ever."""
        beats = self._gauges is not None
        while beats or self._dirty.is_set():
            self._dirty.clear()
            reached = await self.flush(beat=beats)
            if not reached:
                self._dirty.set()
            await asyncio.sleep(INTERVAL_S if reached else RETRY_S)
            if beats:
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await self._dirty.wait()

    def _next(self, *, beat: bool) -> MetricReport | None:
        """The batch that may not have arrived, or else one of what is there."""
        if self._unsure is None:
            with self._guard:
                samples = _taken(self._samples)
                finished = _taken(self._finished)
                if self._lost:
                    samples = (*samples, LOST.of(amount=self._lost))
                    self._lost = 0
            if not (samples or finished or beat):
                return None
            self._number += 1
            gauges = tuple(self._gauges()) if self._gauges is not None else ()
            self._unsure = MetricReport(
                self._name, self._number, gathered(samples), finished, gauges
            )
            if self._mirror is not None:
                self._mirror(self._unsure)
        return self._unsure


def _taken(queue: deque[T]) -> tuple[T, ...]:
    return tuple(queue.popleft() for _ in range(min(len(queue), MOST_SENT)))
