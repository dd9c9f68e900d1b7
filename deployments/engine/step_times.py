"""How long a decode step takes, by the sequences that run in it."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from statistics import median

REMEMBERED_STEPS = 15
"""Of steps with about as many rows. The median counts: one may be longer for other reasons."""

REMEMBERED_PREFILLS = 128
"""Of the last steps it is known how much longer they took because they prefilled."""


class StepTimes:
    """The median seconds of steps with 1, 2, 3-4, 5-8, 9-16, … rows, and a line between them.

    Unlike a line through the last steps it is known for few rows while many run, and for many while
    few do. Texts begin and end, and each prefill holds all of them up: the more rows, and the fewer
    tokens each of them decodes, the oftener. So a row has its part of the time of the last prefills
    beside that of the step.
    """

    def __init__(self) -> None:
        self._steps: dict[int, deque[tuple[int, float]]] = {}
        self._medians: dict[int, tuple[float, float]] = {}
        self._prefills: deque[tuple[int, float]] = deque(maxlen=REMEMBERED_PREFILLS)

    def learn(self, rows: int, seconds: float, *, prefilled: bool = False) -> None:
        """A step with so many ``rows`` took ``seconds``, in which some were ``prefilled``."""
        if prefilled:
            if self._medians:
                longer = max(0.0, seconds - _on_line(self._decoding(), rows))
                self._prefills.append((rows, longer))
            return
        self._prefills.append((rows, 0.0))
        size = (rows - 1).bit_length()
        steps = self._steps.setdefault(size, deque(maxlen=REMEMBERED_STEPS))
        steps.append((rows, seconds))
        self._medians[size] = median(r for r, _ in steps), median(s for _, s in steps)

    @property
    def fewest(self) -> float:
        """The fewest rows that are known, about; infinite before the first step."""
        return min((rows for rows, _ in self._medians.values()), default=float("inf"))

    def seconds(self, rows: float) -> float:
        """The expected seconds of a step, with its part of the prefills; fewer rows never take
        more. 0 before the first step."""
        return _on_line(list(self._points()), rows)

    def rows_within(self, seconds: float) -> float:
        """The most rows of a step that is expected to take no longer; infinite if all known do."""
        points = list(self._points())
        within = [rows for rows, each in points if each <= seconds]
        if len(within) == len(points):
            return float("inf")
        if not within:
            return 0.0
        (below, least), (above, most) = points[len(within) - 1 : len(within) + 1]
        return below + (above - below) * (seconds - least) / (most - least)

    def _points(self) -> Iterator[tuple[float, float]]:
        """Rows and seconds, in order, with their part of the prefills."""
        spent = sum(seconds for _, seconds in self._prefills)
        per_row = spent / max(1, sum(rows for rows, _ in self._prefills))
        for rows, seconds in self._decoding():
            yield rows, seconds + rows * per_row

    def _decoding(self) -> list[tuple[float, float]]:
        """Rows and seconds, in order. Where few rows took longer than many have since, that was
        when: while little is to do, a processor is slower to begin."""
        shortest, points = float("inf"), list[tuple[float, float]]()
        for _, (rows, seconds) in sorted(self._medians.items(), reverse=True):
            shortest = min(shortest, seconds)
            points.append((rows, shortest))
        return points[::-1]


def _on_line(points: list[tuple[float, float]], rows: float) -> float:
    """The seconds of so many rows on the line through ``points``, which ends with the last."""
    after = bisect_left(points, (rows, 0.0))
    if after in (0, len(points)):
        return points[max(0, after - 1)][1] if points else 0.0
    (below, least), (above, most) = points[after - 1 : after + 1]
    return least + (most - least) * (rows - below) / (above - below)
