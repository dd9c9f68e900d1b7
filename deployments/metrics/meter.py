"""What a family's replica tells the ledger: its batches, its queue, its models, its memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from deployments.metrics import signals
from deployments.metrics.dashboard import RayMetrics
from deployments.metrics.report import MetricReport, MetricSample
from deployments.metrics.reporter import NotDelivered, Reporter

ModelEvent: TypeAlias = Literal["hit", "miss", "load", "load_failure", "unload"]

EVENTS = {
    "hit": signals.CACHE_HITS,
    "miss": signals.CACHE_MISSES,
    "load": signals.LOADS,
    "load_failure": signals.LOAD_FAILURES,
    "unload": signals.UNLOADS,
}


@dataclass(frozen=True, slots=True)
class Forward:
    """One batch: how long each item waited, how full the batch was and how much of it was padding
    (both from 0 to 1), and the seconds that it took."""

    waits_s: tuple[float, ...]
    fill: float
    padding: float
    seconds: float


class Meter:
    """A replica's observer. ``gauges`` are read whenever a report goes; without a ``ledger``,
    which is a handle, nothing is kept."""

    def __init__(self, ledger: Any, gauges: Callable[[], Iterable[MetricSample]]) -> None:
        self._reporter: Reporter | None = None
        if ledger is not None:
            self._reporter = Reporter(_delivery(ledger), gauges, RayMetrics().take)

    def start(self) -> None:
        """Report from now on, on the event loop that runs this. Idempotent."""
        if self._reporter is not None:
            self._reporter.start()

    def model(self, event: ModelEvent, name: str) -> None:
        """A model was found, missed, loaded or unloaded."""
        self._note(EVENTS[event].of(name))

    def forward(self, name: str, forward: Forward) -> None:
        """A batch has run."""
        self._note(
            signals.BATCH_SIZE.of(name, amount=len(forward.waits_s)),
            signals.BATCH_FILL.of(name, amount=forward.fill),
            signals.BATCH_PADDING.of(name, amount=forward.padding),
            signals.FORWARD.of(name, amount=forward.seconds),
            *(signals.QUEUE_WAIT.of(name, amount=wait) for wait in forward.waits_s),
        )

    def admitted(self, name: str, wait_s: float) -> None:
        """A text got its slot."""
        self._note(signals.QUEUE_WAIT.of(name, amount=wait_s))

    def _note(self, *samples: MetricSample) -> None:
        if self._reporter is not None:
            self._reporter.note(samples)


def _delivery(ledger: Any) -> Callable[[MetricReport], Awaitable[None]]:
    async def deliver(report: MetricReport) -> None:
        response = ledger.take.remote(report)
        try:
            await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except (RayError, RayServeException) as error:
            raise NotDelivered from error

    return deliver
