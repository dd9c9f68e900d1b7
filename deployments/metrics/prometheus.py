"""The ledger's counters, histograms and gauges, in Prometheus' client library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deployments.metrics.report import Exposition, MetricSample
from deployments.metrics.signals import BY_NAME, GAUGES, PREFIX, SIGNALS, Signal

Values: TypeAlias = Mapping[tuple[str, ...], float]
"""Values of a gauge, by the values of its labels."""


class Instruments:
    """A registry of all signals. Gauges are read from ``gauges`` whenever they are scraped."""

    def __init__(self, gauges: Callable[[Signal], Values]) -> None:
        self._registry = CollectorRegistry()
        self._counters = {
            signal.name: Counter(PREFIX + signal.name, signal.about, signal.labels, registry=None)
            for signal in SIGNALS
            if signal.kind == "counter"
        }
        self._histograms = {
            signal.name: Histogram(
                PREFIX + signal.name,
                signal.about,
                signal.labels,
                registry=None,
                buckets=signal.buckets,
            )
            for signal in SIGNALS
            if signal.kind == "histogram"
        }
        for collector in (*self._counters.values(), *self._histograms.values(), _Gauges(gauges)):
            self._registry.register(collector)

    def add(self, samples: Iterable[MetricSample]) -> None:
        for sample in samples:
            if BY_NAME[sample.signal].kind == "counter":
                counter = self._counters[sample.signal]
                child = counter.labels(*sample.labels) if sample.labels else counter
                child.inc(sum(sample.amounts))
            else:
                histogram = self._histograms[sample.signal].labels(*sample.labels)
                for amount in sample.amounts:
                    histogram.observe(amount)

    def exposition(self, accept: str) -> Exposition:
        """Text in the format that an ``Accept`` header prefers: Prometheus' or OpenMetrics."""
        encode, content_type = choose_encoder(accept)
        return Exposition(encode(self._registry), content_type)


class _Gauges(Collector):
    """Gauges whose values are looked up at each scrape."""

    def __init__(self, values: Callable[[Signal], Values]) -> None:
        self._values = values

    def collect(self) -> Iterator[Metric]:
        for signal in GAUGES:
            family = GaugeMetricFamily(PREFIX + signal.name, signal.about, labels=signal.labels)
            for labels, value in self._values(signal).items():
                family.add_metric(labels, value)
            yield family
