"""The ledger: the one replica that aggregates the metrics of all others.

Totals are kept here, since those that a replica kept would fall when it ends.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from configs.settings import MetricNames
from deployments.metrics.binding_limit import FamilyLimits
from deployments.metrics.build_info import build_info
from deployments.metrics.family_limits import binding_limits
from deployments.metrics.other_names import chosen
from deployments.metrics.prometheus import Instruments, Values
from deployments.metrics.recent import RecentRequests
from deployments.metrics.report import (
    Exposition,
    FinishedRequest,
    MetricReport,
    MetricSample,
    Performance,
)
from deployments.metrics.serve_replicas import ServeReplicas
from deployments.metrics.signals import BY_NAME, MEMORY, SEVERAL, UNKNOWN, Signal

GAUGES_LIVE_S = 15.0
"""A replica's gauges count for this long after its last report; reports come every five seconds."""

REMEMBERED_S = 600.0
"""A reporter is forgotten this long after its last report: much longer than a report is retried."""

MAX_REPORTERS = 10_000
MAX_KEY_NAMES = 10_000
"""Further names of API keys count as "unknown", if so many were made and revoked by and by."""


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """The values that the labels ``model_name`` and ``task`` may have; others become "unknown".

    The first ``live_models`` names of other models are taken as well: those that are loaded by
    name. Replicas report no names that are not of models. ``other_names`` says whose names metrics
    have besides our own.
    """

    models: frozenset[str]
    tasks: frozenset[str]
    live_models: int = 0
    other_names: tuple[MetricNames, ...] = ()


@dataclass(slots=True)
class _ReporterState:
    """The number and the time of a reporter's last report, and its gauges."""

    number: int
    at: float
    gauges: tuple[MetricSample, ...]
    limits: FamilyLimits | None = None


class Ledger:
    """The ledger's deployment; outside of Serve it runs in-process.

    A report that arrives twice is added once. After a restart all counters begin at zero, which
    Prometheus takes for a counter reset.
    """

    def __init__(
        self,
        config: LedgerConfig,
        clock: Callable[[], float] = time.monotonic,
        replicas: ServeReplicas | None = None,
    ) -> None:
        self._known: Mapping[str, set[str]] = {
            "model_name": {*config.models, SEVERAL, UNKNOWN},
            "task": {*config.tasks},
            "key": set(),
        }
        self._max_known = {
            "model_name": len(self._known["model_name"]) + config.live_models,
            "key": MAX_KEY_NAMES,
        }
        self._clock = clock
        self._reporters: OrderedDict[str, _ReporterState] = OrderedDict()
        self._instruments = Instruments(self._gauge, chosen(config.other_names))
        self._recent = RecentRequests()
        self._replicas = replicas or ServeReplicas()
        self._build = build_info()
        self._own_gauges: tuple[MetricSample, ...] = (self._build,)

    async def add(self, report: MetricReport) -> None:
        """Add a report, unless it has been added before."""
        state = self._reporters.pop(report.reporter, None)
        last = state.number if state else 0
        self._forget()
        number = max(last, report.number)
        gauges = self._sanitized(report.gauges)
        self._reporters[report.reporter] = _ReporterState(
            number, self._clock(), gauges, report.limits
        )
        if report.number <= last:
            return
        self._instruments.add(self._sanitized(report.samples))
        if report.finished:
            memory = self._gauge(MEMORY)
            for finished in report.finished:
                self._record_finished(finished, memory)

    async def exposition(self, accept: str) -> Exposition:
        """Every metric, in the format that an ``Accept`` header prefers."""
        self._own_gauges = (self._build, *await self._replicas.gauges())
        return self._instruments.exposition(accept)

    async def performance(self, _: None = None) -> Performance | None:
        """Figures of recent requests; ``None`` before the first request."""
        performance = self._recent.performance()
        if performance is None:
            return None
        oldest = self._clock() - GAUGES_LIVE_S
        live = [state.limits for state in self._reporters.values() if state.at >= oldest]
        limits = binding_limits(each for each in live if each is not None)
        return replace(performance, binding_limits=limits)

    def _record_finished(self, finished: FinishedRequest, memory: Values) -> None:
        model = self._known_value("model_name", finished.model)
        task = self._known_value("task", finished.task)
        memory_bytes = memory.get((model,)) if finished.seconds is not None else None
        self._recent.record(finished._replace(model=model, task=task), memory_bytes)

    def _sanitized(self, samples: tuple[MetricSample, ...]) -> tuple[MetricSample, ...]:
        """``samples`` of known signals with their labels; label values that are not known become
        "unknown"."""
        sanitized = []
        for sample in samples:
            signal = BY_NAME.get(sample.signal)
            # Else it is from a replica of another version, during an update.
            if signal is not None and len(signal.labels) == len(sample.labels):
                pairs = zip(signal.labels, sample.labels, strict=True)
                labels = tuple(self._known_value(name, value) for name, value in pairs)
                sanitized.append(MetricSample(signal.name, labels, sample.amounts))
        return tuple(sanitized)

    def _known_value(self, label: str, value: str) -> str:
        known = self._known.get(label)
        if known is None or value in known:
            return value
        if len(known) < self._max_known.get(label, 0):
            known.add(value)
            return value
        return UNKNOWN

    def _gauge(self, signal: Signal) -> dict[tuple[str, ...], float]:
        """The cluster's values of a gauge, by labels, from replicas that reported lately."""
        found: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        oldest = self._clock() - GAUGES_LIVE_S
        live = (state.gauges for state in self._reporters.values() if state.at >= oldest)
        for sample in chain(self._own_gauges, *live):
            if sample.signal == signal.name:
                found[sample.labels] += sample.amounts
        parts = {
            labels: len(values) if signal.kind == "mean" else 1 for labels, values in found.items()
        }
        return {labels: sum(values) / parts[labels] for labels, values in found.items()}

    def _forget(self) -> None:
        """Forget reporters that are gone, the longest silent first."""
        oldest = self._clock() - REMEMBERED_S
        while self._reporters:
            name, state = next(iter(self._reporters.items()))
            if state.at >= oldest and len(self._reporters) < MAX_REPORTERS:
                return
            del self._reporters[name]
