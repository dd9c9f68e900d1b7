"""Passes a replica's metrics on to Ray, for Ray's dashboard; works in replicas only.

Ray prefixes each name with ``ray_``, appends ``_total`` to those of counters, and adds the labels
``deployment``, ``replica`` and ``application``.
"""

from __future__ import annotations

from typing import Any

from ray.serve import metrics

from deployments.metrics.report import MetricReport, MetricSample
from deployments.metrics.signals import BY_NAME, PREFIX, Signal


class RayMetrics:
    """One Ray metric for each signal that is in Ray, created with its first sample."""

    def __init__(self) -> None:
        self._metrics: dict[str, Any] = {}

    def record(self, report: MetricReport) -> None:
        for sample in (*report.samples, *report.gauges):
            signal = BY_NAME[sample.signal]
            if signal.in_ray:
                self._record(signal, sample)

    def _record(self, signal: Signal, sample: MetricSample) -> None:
        metric = self._metrics.get(signal.name)
        if metric is None:
            metric = self._metrics[signal.name] = _metric(signal)
        tags = dict(zip(signal.labels, sample.labels, strict=True))
        match signal.kind:
            case "counter":
                if (total := sum(sample.amounts)) > 0:  # Ray refuses an increment of zero
                    metric.inc(total, tags)
            case "histogram":
                for amount in sample.amounts:  # Ray takes one at a time
                    metric.observe(amount, tags)
            case "sum" | "mean":
                metric.set(sample.amounts[-1], tags)


def _metric(signal: Signal) -> Any:
    name = PREFIX + signal.name
    keys: Any = signal.labels  # Ray types them as a tuple of one
    match signal.kind:
        case "counter":
            return metrics.Counter(name, signal.about, tag_keys=keys)
        case "histogram":
            boundaries = [float(bucket) for bucket in signal.buckets]
            return metrics.Histogram(name, signal.about, boundaries, tag_keys=keys)
        case "sum" | "mean":
            return metrics.Gauge(name, signal.about, tag_keys=keys)
