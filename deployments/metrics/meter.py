"""The meter of one replica: reports its batches, queue, models and memory to the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from deployments.metrics import signals
from deployments.metrics.binding_limit import FamilyLimits
from deployments.metrics.ray_metrics import RayMetrics
from deployments.metrics.report import MetricReport, MetricSample
from deployments.metrics.reporter import Collector, NotDelivered, Reporter

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
    """One batch that ran: the wait of each item and the time of the batch, in seconds; how full it
    was and how much of it was padding, both from 0 to 1."""

    waits_s: tuple[float, ...]
    fill: float
    padding: float
    seconds: float


class Meter:
    """Records what happens in one replica.

    ``ledger`` is a handle; without one nothing is recorded.
    """

    def __init__(self, ledger: Any) -> None:
        self._collectors: list[Collector] = []
        self._limits: Callable[[], FamilyLimits] | None = None
        self._reporter: Reporter | None = None
        if ledger is not None:
            self._reporter = Reporter(
                _delivery(ledger), self._collectors, RayMetrics().record, self._binding_limits
            )

    def register(self, collector: Collector) -> None:
        """Have ``collector`` called for its gauges whenever a report is sent."""
        self._collectors.append(collector)

    def register_limits(self, limits: Callable[[], FamilyLimits]) -> None:
        """Have ``limits`` called whenever a report is sent: what binds this replica."""
        self._limits = limits

    def start(self) -> None:
        """Begin to report, on the running event loop. Idempotent."""
        if self._reporter is not None:
            self._reporter.start()

    def _binding_limits(self) -> FamilyLimits | None:
        return None if self._limits is None else self._limits()

    def model(self, event: ModelEvent, name: str) -> None:
        """A model was found, missed, loaded or unloaded."""
        self._record(EVENTS[event].of(name))

    def forward(self, name: str, forward: Forward) -> None:
        """A batch has run."""
        self._record(
            signals.BATCH_SIZE.of(name, amount=len(forward.waits_s)),
            signals.BATCH_FILL.of(name, amount=forward.fill),
            signals.BATCH_PADDING.of(name, amount=forward.padding),
            signals.FORWARD.of(name, amount=forward.seconds),
            *(signals.QUEUE_WAIT.of(name, amount=wait) for wait in forward.waits_s),
        )

    @contextmanager
    def preprocessing(self, name: str) -> Iterator[None]:
        """The block makes inputs of a model: of a prompt, texts that came together, an image."""
        began = time.monotonic()
        yield
        self._record(signals.PREPROCESSING.of(name, amount=time.monotonic() - began))

    def admitted(self, name: str, wait_s: float) -> None:
        """A sequence was admitted to a slot after ``wait_s`` seconds."""
        self._record(signals.QUEUE_WAIT.of(name, amount=wait_s))

    def _record(self, *samples: MetricSample) -> None:
        if self._reporter is not None:
            self._reporter.record(samples)


def _delivery(ledger: Any) -> Callable[[MetricReport], Awaitable[None]]:
    async def deliver(report: MetricReport) -> None:
        response = ledger.add.remote(report)
        try:
            await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except (RayError, RayServeException) as error:
            raise NotDelivered from error

    return deliver
