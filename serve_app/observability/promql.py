"""Queries in PromQL over our signals, so that no query names a metric that does not exist."""

from __future__ import annotations

from deployments.metrics.signals import PREFIX, Signal

RATE = "$__rate_interval"
"""Grafana's window for rates: four scrapes, or what a point of the graph covers if that is more."""


def name(signal: Signal) -> str:
    """The metric's name in an exposition; of a histogram without what it ends in."""
    return PREFIX + signal.name + ("_total" if signal.kind == "counter" else "")


def selected(metric: str, where: str = "") -> str:
    """The series of a metric whose labels match ``where``."""
    return f"{metric}{{{where}}}" if where else metric


def value(signal: Signal, by: str = "", where: str = "") -> str:
    """A gauge, added up over all labels but ``by``."""
    return _summed(selected(name(signal), where), by)


def per_second(signal: Signal, by: str = "", where: str = "", *, window: str = RATE) -> str:
    """How fast a counter rises."""
    return _rate(name(signal), by, where, window)


def part(some: Signal, of: Signal, by: str = "", where: str = "") -> str:
    """What of one counter's rise another one's is."""
    return f"{per_second(some, by, where)} / {per_second(of, by, where)}"


def sum_per_second(signal: Signal, by: str = "", where: str = "") -> str:
    """How fast the sum of a histogram's values rises, as items of batches a second."""
    return _rate(f"{name(signal)}_sum", by, where, RATE)


def quantile(
    share: float, signal: Signal, by: str = "", where: str = "", *, window: str = RATE
) -> str:
    """The value of a histogram that ``share`` of its values are below."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {_rate(f'{name(signal)}_bucket', labels, where, window)})"


def mean(signal: Signal, by: str = "", where: str = "") -> str:
    """The mean of a histogram's values."""
    values = _rate(f"{name(signal)}_sum", by, where, RATE)
    return f"{values} / {_rate(f'{name(signal)}_count', by, where, RATE)}"


def risen(signal: Signal, window: str) -> str:
    """How much a counter has risen in a window.

    A series that begins in the window counts from zero: most are there only from their first event
    on, of which ``increase`` knows nothing.
    """
    metric = name(signal)
    return f"(increase({metric}[{window}]) > 0 or ({metric} > 0 unless {metric} offset {window}))"


def _rate(metric: str, by: str, where: str, window: str) -> str:
    return _summed(f"rate({selected(metric, where)}[{window}])", by)


def _summed(series: str, by: str) -> str:
    return f"sum by ({by}) ({series})" if by else f"sum({series})"
