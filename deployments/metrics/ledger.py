"""The ledger: one replica to which every other one reports, so that nothing dies with those."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deployments.metrics.prometheus import Instruments
from deployments.metrics.recent import RecentRequests
from deployments.metrics.report import (
    Exposition,
    FinishedRequest,
    MetricReport,
    MetricSample,
    Performance,
)
from deployments.metrics.signals import BY_NAME, MEMORY, SEVERAL, UNKNOWN, Signal

GAUGES_LIVE_S = 15.0
"""How long a replica's gauges stand without another report; one comes every two seconds."""

REMEMBERED_S = 600.0
"""How long the number of a reporter's last batch is kept: much longer than a batch is retried."""

MOST_REPORTERS = 10_000


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """The values that the labels ``model_name`` and ``task`` may have; others are "unknown"."""

    models: frozenset[str]
    tasks: frozenset[str]


@dataclass(slots=True)
class _Heard:
    """What is known of one reporter."""

    number: int
    at: float
    gauges: tuple[MetricSample, ...]


class Ledger:
    """The deployment of the ledger, and, outside Serve, the same in-process.

    A batch that arrives twice is taken once. A restart begins from zero, which Prometheus' own
    functions know as a counter reset.
    """

    def __init__(self, config: LedgerConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: Mapping[str, frozenset[str]] = {
            "model_name": config.models | {SEVERAL},
            "task": config.tasks,
        }
        self._clock = clock
        self._heard: OrderedDict[str, _Heard] = OrderedDict()
        self._instruments = Instruments(self._gauge)
        self._recent = RecentRequests()

    async def take(self, report: MetricReport) -> None:
        """Add a batch to what is known, unless it has been added before."""
        heard = self._heard.pop(report.reporter, None)
        last = heard.number if heard else 0
        self._forget()
        number = max(last, report.number)
        self._heard[report.reporter] = _Heard(number, self._clock(), self._fitted(report.gauges))
        if report.number <= last:
            return
        self._instruments.add(self._fitted(report.samples))
        if report.finished:
            memory = self._gauge(MEMORY)
            for finished in report.finished:
                self._note(finished, memory)

    async def exposition(self, accept: str) -> Exposition:
        """Every metric, in the format that an ``Accept`` header prefers."""
        return self._instruments.exposition(accept)

    async def performance(self, _: None = None) -> Performance | None:
        """Figures of recent requests, ``None`` before the first."""
        return self._recent.performance()

    def _note(self, finished: FinishedRequest, memory: Mapping[tuple[str, ...], float]) -> None:
        model, task = self._fit("model_name", finished.model), self._fit("task", finished.task)
        held = memory.get((model,)) if finished.seconds is not None else None
        self._recent.note(finished._replace(model=model, task=task), held)

    def _fitted(self, samples: tuple[MetricSample, ...]) -> tuple[MetricSample, ...]:
        """``samples`` of known signals, with no value of a label that was not foreseen."""
        fitted = []
        for sample in samples:
            signal = BY_NAME.get(sample.signal)
            if signal is not None:  # else a newer replica's, in the middle of an update
                pairs = zip(signal.labels, sample.labels, strict=True)
                labels = tuple(self._fit(name, value) for name, value in pairs)
                fitted.append(MetricSample(signal.name, labels, sample.amounts))
        return tuple(fitted)

    def _fit(self, label: str, value: str) -> str:
        known = self._known.get(label)
        return value if known is None or value in known else UNKNOWN

    def _gauge(self, signal: Signal) -> dict[tuple[str, ...], float]:
        """The cluster's values of a gauge, from the replicas that are still heard of."""
        found: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        oldest = self._clock() - GAUGES_LIVE_S
        for heard in self._heard.values():
            for sample in heard.gauges if heard.at >= oldest else ():
                if sample.signal == signal.name:
                    found[sample.labels] += sample.amounts
        parts = {
            labels: len(values) if signal.kind == "mean" else 1 for labels, values in found.items()
        }
        return {labels: sum(values) / parts[labels] for labels, values in found.items()}

    def _forget(self) -> None:
        """Drop reporters that are long gone, longest silent first."""
        oldest = self._clock() - REMEMBERED_S
        while self._heard:
            name, heard = next(iter(self._heard.items()))
            if heard.at >= oldest and len(self._heard) < MOST_REPORTERS:
                return
            del self._heard[name]
