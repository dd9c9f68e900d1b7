"""Panels that more than one dashboard has."""

from __future__ import annotations

from deployments.metrics import signals
from deployments.metrics.signals import Signal
from serve_app.observability import promql
from serve_app.observability.panels import Panel, Query

SHARES = (0.5, 0.95, 0.99)
MODEL = 'model_name=~"$model"'


def quantiles(title: str, about: str, signal: Signal, by: str, where: str = "") -> Panel:
    """How long something takes: the median, and what 5 % and 1 % exceed."""
    queries = (
        Query(promql.quantile(share, signal, by, where), f"{{{{{by}}}}} p{share * 100:.0f}")
        for share in SHARES
    )
    return Panel(title, about, tuple(queries), "s")


def requests_by(labels: str, legend: str, where: str = "") -> Panel:
    return Panel(
        "Requests",
        "Requests for inference that ended, by how.",
        (Query(promql.per_second(signals.REQUESTS, labels, where), legend),),
        "reqps",
    )


def queue_depth(where: str = "") -> Panel:
    return Panel(
        "Queue",
        "Texts or items that wait for a batch or a slot.",
        (Query(promql.value(signals.WAITING, "model_name", where), "{{model_name}}"),),
    )


def queue_wait(where: str = "") -> Panel:
    return quantiles(
        "Wait in the queue",
        "From admission to a batch or a slot.",
        signals.QUEUE_WAIT,
        "model_name",
        where,
    )


def replicas() -> Panel:
    return Panel(
        "Replicas",
        "Wanted by the profile or the autoscaler, and running.",
        (
            Query(promql.value(signals.REPLICAS_RUNNING, "deployment"), "{{deployment}} running"),
            Query(promql.value(signals.REPLICAS_WANTED, "deployment"), "{{deployment}} wanted"),
        ),
    )


def model_memory() -> Panel:
    return Panel(
        "Memory of models",
        "Of each model on all replicas together.",
        (Query(promql.value(signals.MEMORY, "model_name"), "{{model_name}}"),),
        "bytes",
        stacked=True,
    )
