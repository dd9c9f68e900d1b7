"""The values that replicas and the ledger exchange: samples, reports and figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from deployments.metrics.binding_limit import FamilyLimits, Limit
from deployments.seam.scaling import ScalingDecision


class MetricSample(NamedTuple):
    """Values of one signal with the same labels, which are in the signal's order.

    A sample is recorded with one value; a report has all values with the same labels in one sample.
    """

    signal: str
    labels: tuple[str, ...]
    amounts: tuple[float, ...]


def merged(samples: Iterable[MetricSample]) -> tuple[MetricSample, ...]:
    """``samples``, with those of the same signal and labels merged into one."""
    found: defaultdict[tuple[str, tuple[str, ...]], list[float]] = defaultdict(list)
    for signal, labels, amounts in samples:
        found[signal, labels] += amounts
    return tuple(MetricSample(*series, tuple(amounts)) for series, amounts in found.items())


class FinishedRequest(NamedTuple):
    """An inference request that has ended. ``seconds`` is the time its models took.

    That is ``None`` for a request that no model answered.
    """

    model: str
    task: str
    success: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class MetricReport:
    """The samples that one reporter recorded since its last report.

    ``number`` counts its reports from 1. A report that may not have arrived is sent again
    under its number, so that the ledger adds it once. ``gauges`` and ``limits`` replace those of
    the reporter's earlier reports.
    """

    reporter: str
    number: int
    samples: tuple[MetricSample, ...] = ()
    finished: tuple[FinishedRequest, ...] = ()
    gauges: tuple[MetricSample, ...] = ()
    limits: FamilyLimits | None = None


class Exposition(NamedTuple):
    """Every metric as text, in the format that the scraper accepts."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class FamilyBinding:
    """A limit that binds ``replicas`` replicas of a family: why, in one of them, and the setting
    that moves it."""

    limit: Limit
    replicas: int
    why: str
    setting: str


@dataclass(frozen=True, slots=True)
class FamilyPerformance:
    """What binds a family, the first to be turned first; nothing where ``limits`` is empty."""

    limits: tuple[FamilyBinding, ...]
    scaling: ScalingDecision | None


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures of recent requests; times in seconds, memory in GiB, ``success_rate`` per cent.

    Times and memory are ``None`` while no model has answered any of them. ``binding_limits`` has
    every family that has a replica.
    """

    total_requests: int
    average_inference_time: float | None
    max_inference_time: float | None
    min_inference_time: float | None
    average_memory_usage: float | None
    model_usage: dict[str, int]
    task_usage: dict[str, int]
    success_rate: float
    binding_limits: dict[str, FamilyPerformance] = field(default_factory=dict)
