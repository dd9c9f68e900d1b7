"""The run of scaling: what it makes of its observations. The run itself is in the long tests."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from bench.scale_out.__main__ import summed_up
from bench.scale_out.load import Answered, Load, quantile
from bench.scale_out.plot import svg
from bench.scale_out.run import FAMILIES, Outcome, row
from bench.scale_out.watch import Observation


def observed(at_s: float, hot: int, nodes: int) -> Observation:
    running = {"hot": hot, "steady": 1, "asleep": 0}
    return Observation(at_s, nodes, float(nodes), hot / 2 + 0.25, running, running, {})


@pytest.fixture
def outcome() -> Outcome:
    load = Load("http://127.0.0.1:1", sent={"hot": 2, "steady": 1})
    load.answered = [
        Answered("hot", 11.0, 3.0),
        Answered("hot", 12.0, 1.0),
        Answered("steady", 3.0, 0.1),
    ]
    seen = [observed(2, 1, 1), observed(14, 4, 3), observed(40, 1, 1)]
    return Outcome(
        load,
        seen,
        hot_from_s=10,
        hot_until_s=20,
        waking_s=(4.0, 6.0),
        bound={"hot": "forward_time (slow)"},
        slept_again=True,
        calm_again=True,
    )


def test_a_run_in_which_everything_came_about_has_no_problems(outcome: Outcome) -> None:
    assert summed_up(outcome) == []
    assert outcome.most_replicas == {"hot": 4, "steady": 1, "asleep": 0}
    assert outcome.steady_p95(hot=False) == 0.1
    assert math.isnan(outcome.steady_p95(hot=True))


def test_what_did_not_come_about_is_told(outcome: Outcome) -> None:
    outcome.load.answered.append(Answered("hot", 1, 1, "503"))
    outcome.calm_again, outcome.bound = False, {"hot": "nothing"}
    assert summed_up(outcome) == [
        "requests failed",
        "nothing bound the hot family",
        "replicas or nodes stayed",
    ]


def test_a_row_shows_replicas_that_run_and_are_wanted(outcome: Outcome) -> None:
    line = row(outcome.seen[1], outcome.load)
    assert line.split()[:5] == ["14", "3", "2.25/3", "4/4", "1/1"]


def test_the_plot_has_a_line_of_every_family(outcome: Outcome) -> None:
    root = ElementTree.fromstring(svg(outcome))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    for name in ("replicas", *FAMILIES):
        assert name in texts


def test_a_quantile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(quantile([], 0.5))
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
