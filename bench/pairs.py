"""Comparing two sides honestly on a machine whose speed drifts: alternated pairs, and medians.

    pair = alternated(Side("ours", "Q4_1", ours), Side("theirs", "float32", theirs), rounds=3)
    pair.ratio         # the median of the rounds' own ratios, ours / theirs
    pair.ours.median   # in the figure's own unit

A round measures both sides one right after the other, and every second round begins with the other
side, so that neither slow drift nor what one leaves to the next favours a side.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from configs.processor import usable_cores

Measure = Callable[[], float]
Said = Callable[[str], None]


@dataclass(frozen=True)
class Side:
    """One of two that are compared. ``measure`` takes some seconds and returns one figure."""

    name: str
    arithmetic: str
    measure: Measure


@dataclass(frozen=True)
class Figures:
    """The figures of one side, by round."""

    name: str
    arithmetic: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of all rounds."""
        return median(self.values)


@dataclass(frozen=True)
class Pair:
    """Both sides' figures, from the same rounds."""

    ours: Figures
    theirs: Figures

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours / theirs of every round."""
        return tuple(a / b for a, b in zip(self.ours.values, self.theirs.values, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios, which drift between rounds does not touch."""
        return median(self.ratios)


def alternated(ours: Side, theirs: Side, *, rounds: int = 3, said: Said | None = None) -> Pair:
    """Measure both sides ``rounds`` times in turn. ``said`` hears of every figure."""
    values: dict[int, list[float]] = {0: [], 1: []}
    sides = (ours, theirs)
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            value = sides[which].measure()
            values[which].append(value)
            if said is not None:
                said(f"round {number + 1} of {rounds}: {sides[which].name} {value:.4g}")
    figures = [
        Figures(side.name, side.arithmetic, tuple(values[n])) for n, side in enumerate(sides)
    ]
    return Pair(*figures)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """When and on what: for the head of every result."""
    cores = usable_cores()
    day = datetime.now(UTC).date().isoformat()
    return f"{day}, {_processor()}, {cores} cores, Python {platform.python_version()}"


def tell(text: str) -> None:
    """Progress, beside what is printed as the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    kinds = [name for flag, name in _VECTORS.items() if flag in flags]
    return f"{names[0] if names else platform.machine()} ({', '.join(kinds) or 'no vectors'})"


_VECTORS = {"avx2": "AVX2", "avx512f": "AVX-512", "amx_tile": "AMX"}
