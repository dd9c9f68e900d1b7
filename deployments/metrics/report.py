"""What travels from a replica to the ledger: plain, picklable values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class MetricSample(NamedTuple):
    """Values of one signal, whose labels' values are in the signal's order.

    It is noted with one value, and travels with all that a batch has of the same labels.
    """

    signal: str
    labels: tuple[str, ...]
    amounts: tuple[float, ...]


def gathered(samples: Iterable[MetricSample]) -> tuple[MetricSample, ...]:
    """The same values in one sample for each signal and its labels."""
    found: defaultdict[tuple[str, tuple[str, ...]], list[float]] = defaultdict(list)
    for signal, labels, amounts in samples:
        found[signal, labels] += amounts
    return tuple(MetricSample(*series, tuple(amounts)) for series, amounts in found.items())


class FinishedRequest(NamedTuple):
    """One request for inference that has ended. ``seconds`` is what its models took.

    ``seconds`` is ``None`` for a request that no model answered.
    """

    model: str
    task: str
    success: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class MetricReport:
    """A batch of what one reporter saw. ``number`` counts its batches from 1.

    A batch that may not have arrived is sent again under its number, so that the ledger takes it
    once. ``samples`` are gathered; ``gauges`` replace those of the reporter's earlier batches.
    """

    reporter: str
    number: int
    samples: tuple[MetricSample, ...] = ()
    finished: tuple[FinishedRequest, ...] = ()
    gauges: tuple[MetricSample, ...] = ()


@dataclass(frozen=True, slots=True)
class Exposition:
    """Every metric as text, in the format that the scraper asked for."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures of recent requests; times in seconds, memory in GiB, ``success_rate`` per cent.

    Times and memory are ``None`` while no model has answered any of them.
    """

    total_requests: int
    average_inference_time: float | None
    max_inference_time: float | None
    min_inference_time: float | None
    average_memory_usage: float | None
    model_usage: dict[str, int]
    task_usage: dict[str, int]
    success_rate: float
