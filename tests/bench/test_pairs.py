"""Alternated pairs: the order of measurements, and the ratio of their medians."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.pairs import Side, alternated, table


def side(name: str, log: list[str], values: list[float]) -> Side:
    left = iter(values)

    def measure() -> float:
        log.append(name)
        return next(left)

    return Side(name, "float32", measure)


def test_every_second_round_begins_with_the_other_side() -> None:
    log: list[str] = []
    alternated(side("a", log, [1] * 3), side("b", log, [1] * 3), rounds=3)
    assert log == ["a", "b", "b", "a", "a", "b"]


def test_the_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The machine is twice as slow in the second round: no ratio moves, a ratio of medians would.
    log: list[str] = []
    pair = alternated(side("a", log, [40, 22, 90]), side("b", log, [10, 5, 30]), rounds=3)
    assert pair.ratios == (4.0, 4.4, 3.0)
    assert pair.ratio == 4.0
    assert pair.ours.median == 40
    assert pair.theirs.median == 10


def test_progress_hears_of_every_figure() -> None:
    log: list[str] = []
    heard: list[str] = []
    said: Callable[[str], None] = heard.append
    alternated(side("a", log, [1, 2]), side("b", log, [3, 4]), rounds=2, said=said)
    assert heard == [
        "round 1 of 2: a 1",
        "round 1 of 2: b 3",
        "round 2 of 2: b 4",
        "round 2 of 2: a 2",
    ]


def test_a_side_that_fails_ends_the_comparison() -> None:
    def fails() -> float:
        raise RuntimeError("it went away")

    with pytest.raises(RuntimeError, match="it went away"):
        alternated(Side("a", "float32", fails), side("b", [], [1]))


def test_a_table_is_markdown() -> None:
    assert table(["side", "texts/s"], [["ours", "1"]]).splitlines() == [
        "| side | texts/s |",
        "| --- | --- |",
        "| ours | 1 |",
    ]
