"""What queries of dashboards and alerts name: metrics, and the labels that they select or keep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from deployments.metrics.signals import SIGNALS, Signal
from serve_app.observability import promql

METRIC = re.compile(r"\b(prsm_huggingface_\w+|haproxy_\w+|vllm:\w+|gen_ai_\w+|ray_\w+)")
SUMMED = re.compile(
    r"sum by \((?P<by>[^)]*)\) \((?:rate\()?(?:increase\()?(?P<metric>\w+)(?:{(?P<where>[^}]*)})?"
)
OTHERS = {"haproxy_frontend_http_responses_total"}
"""Metrics of other programs that dashboards show: HAProxy's own."""


class SummedSeries(NamedTuple):
    metric: str
    by: list[str]
    where: list[str]


def exposed(signal: Signal) -> set[str]:
    """The names of a signal's series in an exposition."""
    name = promql.name(signal)
    if signal.kind == "histogram":
        return {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {name}


SERIES = {name: signal for signal in SIGNALS for name in exposed(signal)}


def metrics_of(expr: str) -> set[str]:
    return set(METRIC.findall(expr))


def sums_of(expr: str) -> Iterator[SummedSeries]:
    for found in SUMMED.finditer(expr):
        by = [label.strip() for label in found["by"].split(",")]
        where = re.findall(r"(\w+)=~?\"", found["where"] or "")
        yield SummedSeries(found["metric"], by, where)


def filled_in(expr: str) -> str:
    """A query as Prometheus takes it, with Grafana's variables filled in."""
    return expr.replace("$__rate_interval", "1m").replace("$model", ".+")
