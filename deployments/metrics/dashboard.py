"""The same signals as metrics of Ray, for its dashboard. Made in replicas only: it needs Ray.

Ray puts ``ray_`` before each name, ``_total`` behind those of counters, and adds the deployment,
the replica and the application.
"""

from __future__ import annotations

from typing import Any

from ray.serve import metrics

from deployments.metrics.report import MetricReport, MetricSample
from deployments.metrics.signals import BY_NAME, PREFIX, Signal


class RayMetrics:
    """One instrument a signal, made when its first sample comes."""

    def __init__(self) -> None:
        self._instruments: dict[str, Any] = {}

    def take(self, report: MetricReport) -> None:
        for sample in (*report.samples, *report.gauges):
            self._add(sample)

    def _add(self, sample: MetricSample) -> None:
        signal = BY_NAME[sample.signal]
        instrument = self._instruments.get(signal.name)
        if instrument is None:
            instrument = self._instruments[signal.name] = _instrument(signal)
        tags = dict(zip(signal.labels, sample.labels, strict=True))
        match signal.kind:
            case "counter":
                if (total := sum(sample.amounts)) > 0:  # Ray takes no zeros
                    instrument.inc(total, tags)
            case "histogram":
                for amount in sample.amounts:  # Ray takes one at a time
                    instrument.observe(amount, tags)
            case "sum" | "mean":
                instrument.set(sample.amounts[-1], tags)


def _instrument(signal: Signal) -> Any:
    name = PREFIX + signal.name
    keys: Any = signal.labels  # typed as a tuple of one in Ray
    match signal.kind:
        case "counter":
            return metrics.Counter(name, signal.about, tag_keys=keys)
        case "histogram":
            boundaries = [float(bucket) for bucket in signal.buckets]
            return metrics.Histogram(name, signal.about, boundaries, tag_keys=keys)
        case "sum" | "mean":
            return metrics.Gauge(name, signal.about, tag_keys=keys)
