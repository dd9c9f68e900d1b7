"""Sends what one replica recorded to the ledger; each report is repeated until it arrives."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import TypeAlias, TypeVar

from deployments.metrics.binding_limit import FamilyLimits
from deployments.metrics.report import FinishedRequest, MetricReport, MetricSample, merged
from deployments.metrics.signals import BY_NAME, GAUGES, LOST

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

T = TypeVar("T")

INTERVAL_S = 0.25
RETRY_S = 1.0
HEARTBEAT_S = 2.0
QUIET_HEARTBEAT_S = 5.0
"""After a report of nothing recorded, and of the same gauges as the one before."""

DELIVERY_S = 5.0
MAX_PENDING = 50_000
"""Samples, and finished requests, kept while the ledger is away; then the oldest are dropped."""

MAX_SENT = 5_000
"""Samples, and finished requests, in one report."""

Deliver: TypeAlias = Callable[[MetricReport], Awaitable[None]]
Collector: TypeAlias = Callable[[], Iterable[MetricSample]]
"""Gives gauges of a replica at this moment, and what was counted since it was called last."""


class NotDelivered(Exception):
    """The ledger may not have received the report, which has to be sent again."""


class Reporter:
    """Delivers what is recorded: at once when idle, else four times a second.

    Reports go one at a time, each repeated until it has arrived. With ``gauges`` there is a report
    at least every two seconds, and every five while nothing is recorded and no gauge changes: the
    ledger has to know that the replica lives. A collector of gauges, or ``limits``, that raises is
    logged once, and costs the report only its own figures.
    ``mirror`` gets every report once. Any thread may record; delivery begins with :meth:`start`, or
    with the first record on an event loop.
    """

    def __init__(
        self,
        deliver: Deliver,
        gauges: Sequence[Collector] | None = None,
        mirror: Callable[[MetricReport], None] | None = None,
        limits: Callable[[], FamilyLimits | None] | None = None,
    ) -> None:
        self._deliver = deliver
        self._gauges = gauges
        self._mirror = mirror
        self._limits = limits
        self._name = uuid.uuid4().hex
        self._number = 0
        self._samples: deque[MetricSample] = deque()
        self._finished: deque[FinishedRequest] = deque()
        self._lost = 0
        self._heartbeat_s = HEARTBEAT_S
        self._last_gauges: list[MetricSample] = []
        self._failed: set[Callable[[], object]] = set()
        self._lock = threading.Lock()
        self._unconfirmed: MetricReport | None = None
        self._delivering = asyncio.Lock()
        self._pending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: asyncio.Task[None] | None = None

    def record(
        self, samples: Iterable[MetricSample], finished: FinishedRequest | None = None
    ) -> None:
        with self._lock:
            self._samples.extend(samples)
            if finished is not None:
                self._finished.append(finished)
            while len(self._samples) > MAX_PENDING:
                self._samples.popleft()
                self._lost += 1
            while len(self._finished) > MAX_PENDING:
                self._finished.popleft()
        if not self._pending.is_set():
            self._wake()

    def start(self) -> None:
        """Begin to deliver, on the running event loop. Idempotent."""
        self._loop = asyncio.get_running_loop()
        self._pending.set()
        if self._worker is None or self._worker.done():
            # Not in the context of the request that was recorded: it would be in that one's trace.
            self._worker = self._loop.create_task(self._work(), context=Context())

    async def flush(self, *, heartbeat: bool = False) -> bool:
        """Deliver what was recorded so far; false when the ledger cannot be reached.

        With ``heartbeat`` a report is sent even if nothing was recorded.
        """
        async with self._delivering:
            while (report := self._next(heartbeat=heartbeat)) is not None:
                try:
                    async with asyncio.timeout(DELIVERY_S):
                        await self._deliver(report)
                except (NotDelivered, TimeoutError):
                    return False
                self._unconfirmed, heartbeat = None, False
            return True

    def _wake(self) -> None:
        with suppress(RuntimeError):  # this thread has no running loop, or the loop was closed
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self.start)
            else:
                self.start()

    async def _work(self) -> None:
        """Deliver until nothing is pending; with gauges for ever."""
        heartbeat = self._gauges is not None
        while heartbeat or self._pending.is_set():
            self._pending.clear()
            reached = await self.flush(heartbeat=heartbeat)
            if not reached:
                self._pending.set()
            await asyncio.sleep(INTERVAL_S if reached else RETRY_S)
            if heartbeat:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._heartbeat_s):
                        await self._pending.wait()

    def _next(self, *, heartbeat: bool) -> MetricReport | None:
        """The report that may not have arrived, else one of what is pending."""
        if self._unconfirmed is None:
            if not (heartbeat or self._samples or self._finished or self._lost):
                return None
            self._unconfirmed = self._made()
            if self._mirror is not None:
                self._mirror(self._unconfirmed)
        return self._unconfirmed

    def _made(self) -> MetricReport:
        """A new report. Gauges come first: what was recorded stays until they have been read."""
        gauges: list[MetricSample] = []
        counted: list[MetricSample] = []
        limits: FamilyLimits | None = None
        for collector in self._gauges or ():
            with self._told_once(collector):
                for sample in collector():
                    (gauges if BY_NAME[sample.signal] in GAUGES else counted).append(sample)
        if self._limits is not None:
            with self._told_once(self._limits):
                limits = self._limits()
        with self._lock:
            samples, finished = (*counted, *_popped(self._samples)), _popped(self._finished)
            if self._lost:
                samples = (*samples, LOST.of(amount=self._lost))
                self._lost = 0
        is_quiet = not (samples or finished) and gauges == self._last_gauges
        self._heartbeat_s = QUIET_HEARTBEAT_S if is_quiet else HEARTBEAT_S
        self._last_gauges = gauges
        self._number += 1
        return MetricReport(
            self._name, self._number, merged(samples), finished, tuple(gauges), limits
        )

    @contextmanager
    def _told_once(self, source: Callable[[], object]) -> Iterator[None]:
        try:
            yield
        except Exception:  # an outermost edge: one figure must not cost all others
            if source not in self._failed:
                logger.exception("some metrics of this replica cannot be read")
            self._failed.add(source)


def _popped(queue: deque[T]) -> tuple[T, ...]:
    return tuple(queue.popleft() for _ in range(min(len(queue), MAX_SENT)))
