"""The outcome of each request of a load, and rates and latencies of all of them."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

LEVELS = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class RequestSample:
    """One request: when it began and ended, in seconds of one clock, and the size of its answer.

    ``units`` are tokens, texts or documents. ``first_s`` and ``last_s`` are the times of the first
    and last token of a stream. ``error`` is the kind of a failure, ``detail`` the server's message.
    """

    began_s: float
    ended_s: float
    units: int = 0
    prompt_tokens: int = 0
    first_s: float | None = None
    last_s: float | None = None
    error: str | None = None
    detail: str = ""

    @property
    def latency_s(self) -> float:
        """Seconds from the request's first byte to the answer's last."""
        return self.ended_s - self.began_s


@dataclass(frozen=True)
class Percentiles:
    """Three percentiles of a duration, in seconds; NaN where nothing was measured."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Percentiles":
        """Of ``values`` in any order."""
        ordered = sorted(values)
        return cls(*(percentile(ordered, level) for level in LEVELS))


@dataclass(frozen=True)
class LoadFigures:
    """The figures of one load. Rates count successful requests, over the whole time of the load.

    An ``interrupted`` load was cut short: its figures are those of the requests answered before.
    """

    clients: int
    unit: str
    seconds: float
    succeeded: int
    units: int
    prompt_tokens: int
    latency: Percentiles
    first: Percentiles
    per_token: Percentiles
    errors: dict[str, int]
    details: dict[str, str]
    client_cpu: float
    interrupted: bool = False

    @property
    def requests_per_s(self) -> float:
        """Answers a second."""
        return self.succeeded / self.seconds if self.seconds else 0.0

    @property
    def units_per_s(self) -> float:
        """Tokens, texts or documents a second."""
        return self.units / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """Requests that failed."""
        return sum(self.errors.values())


def figures(
    samples: Sequence[RequestSample], *, clients: int, unit: str, cpu_s: float = 0.0
) -> LoadFigures:
    """The figures of one load; ``cpu_s`` is the processor time that its clients took."""
    good = [sample for sample in samples if sample.error is None]
    bad = [(sample.error, sample.detail) for sample in samples if sample.error is not None]
    began = min((sample.began_s for sample in samples), default=0.0)
    seconds = max((sample.ended_s for sample in samples), default=0.0) - began
    return LoadFigures(
        clients=clients,
        unit=unit,
        seconds=seconds,
        succeeded=len(good),
        units=sum(sample.units for sample in good),
        prompt_tokens=sum(sample.prompt_tokens for sample in good),
        latency=Percentiles.of([sample.latency_s for sample in good]),
        first=Percentiles.of(
            [each.first_s - each.began_s for each in good if each.first_s is not None]
        ),
        per_token=Percentiles.of(
            [each for sample in good if (each := _seconds_per_token(sample)) is not None]
        ),
        errors=dict(Counter(kind for kind, _ in bad).most_common()),
        details=dict(reversed(bad)),
        client_cpu=cpu_s / seconds if seconds else 0.0,
    )


def percentile(ordered: Sequence[float], level: float) -> float:
    """The least value that the fraction ``level`` of all values does not exceed; NaN of no values.

    This is the nearest rank: always a measured value, so the p99 of 50 is the largest of them.
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(level * len(ordered)) - 1)]


def _seconds_per_token(sample: RequestSample) -> float | None:
    """Seconds for each token after the first."""
    if sample.first_s is None or sample.last_s is None or sample.units < 2:
        return None
    return (sample.last_s - sample.first_s) / (sample.units - 1)
