"""The ledger's counters, histograms and gauges, in Prometheus' client library."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import (
    CONTENT_TYPE_PLAIN_0_0_4,
    choose_encoder,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from deployments.metrics.other_names import OtherName
from deployments.metrics.report import Exposition, MetricSample
from deployments.metrics.signals import GAUGES, PREFIX, SIGNALS, Signal

OPEN_METRICS = "application/openmetrics-text"

Values: TypeAlias = Mapping[tuple[str, ...], float]
"""Values of a gauge, by the values of its labels."""


class Instruments:
    """A registry of all signals, under our own names and ``other_names``.

    Gauges are read from ``gauges`` whenever they are scraped.
    """

    def __init__(
        self, gauges: Callable[[Signal], Values], other_names: Sequence[OtherName] = ()
    ) -> None:
        self._registry = CollectorRegistry()
        self._instruments: dict[str, list[Instrument]] = defaultdict(list)
        for signal in SIGNALS:
            if signal not in GAUGES:
                self._instruments[signal.name].append(_own_instrument(signal))
        named: dict[str, Counter | Histogram] = {}
        for other in other_names:
            if other.source not in GAUGES:
                metric = named.setdefault(other.name, _metric_of_others(other))
                self._instruments[other.source.name].append(Instrument(metric, other))
        own = (each.metric for found in self._instruments.values() for each in found)
        of_gauges = [each for each in other_names if each.source in GAUGES]
        for collector in (*dict.fromkeys(own), _Gauges(gauges), _OtherGauges(gauges, of_gauges)):
            self._registry.register(collector)

    def add(self, samples: Iterable[MetricSample]) -> None:
        for sample in samples:
            for instrument in self._instruments[sample.signal]:
                instrument.add(sample)

    def exposition(self, accept: str) -> Exposition:
        """Text in the format that an ``Accept`` header prefers: Prometheus' or OpenMetrics.

        No name here needs escaping, which in the client library would also change the colon of
        vLLM's names.
        """
        _, content_type = choose_encoder(accept)
        if content_type.startswith(OPEN_METRICS):
            encode: Callable[..., bytes] = openmetrics.generate_latest  # it has no types
            body = encode(self._registry, escaping=openmetrics.ALLOWUTF8)
            return Exposition(body, openmetrics.CONTENT_TYPE_LATEST)
        body = generate_latest(self._registry, escaping=openmetrics.ALLOWUTF8)
        return Exposition(body, CONTENT_TYPE_PLAIN_0_0_4)


class Instrument(NamedTuple):
    """A counter or histogram that takes the samples of one signal; ``other`` if not ours."""

    metric: Counter | Histogram
    other: OtherName | None = None

    def add(self, sample: MetricSample) -> None:
        labels = sample.labels if self.other is None else self.other.label_values(sample.labels)
        child = self.metric.labels(*labels) if labels else self.metric
        if isinstance(child, Counter):
            child.inc(sum(sample.amounts))
        else:
            for amount in sample.amounts:
                child.observe(amount)


def _own_instrument(signal: Signal) -> Instrument:
    name = PREFIX + signal.name
    if signal.kind == "counter":
        return Instrument(Counter(name, signal.about, signal.labels, registry=None))
    return Instrument(
        Histogram(name, signal.about, signal.labels, registry=None, buckets=signal.buckets)
    )


def _metric_of_others(other: OtherName) -> Counter | Histogram:
    if other.source.kind == "counter":
        return Counter(other.name, other.about, other.label_names, registry=None)
    return Histogram(
        other.name, other.about, other.label_names, registry=None, buckets=other.buckets
    )


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


class _OtherGauges(Collector):
    """The same values under others' names."""

    def __init__(self, values: Callable[[Signal], Values], names: Sequence[OtherName]) -> None:
        self._values = values
        self._names = names

    def collect(self) -> Iterator[Metric]:
        for other in self._names:
            family = GaugeMetricFamily(other.name, other.about, labels=other.label_names)
            for labels, value in self._values(other.source).items():
                family.add_metric(other.label_values(labels), value)
            yield family
