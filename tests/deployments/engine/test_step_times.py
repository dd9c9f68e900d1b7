"""Decode steps get longer with their rows, by how much is measured."""

from __future__ import annotations

import math

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.row_bound import RowBound
from deployments.engine.step_times import REMEMBERED_STEPS, StepTimes
from deployments.engine.tuning import CONTENDED_STEP_FACTOR
from deployments.models.fair_shares import Owner
from tests.deployments.engine.simulated_engine import SimulatedEngine

CHAT, FLOOD = Owner("chat", ""), Owner("flood", "")


def learned(*steps: tuple[int, float]) -> StepTimes:
    times = StepTimes()
    for rows, seconds in steps:
        times.learn(rows, seconds)
    return times


def test_between_known_steps_there_is_a_line_and_beyond_them_nothing_is_longer() -> None:
    times = learned((1, 0.02), (8, 0.034), (16, 0.05))
    assert times.seconds(1) == pytest.approx(0.02)
    assert times.seconds(4.5) == pytest.approx(0.027)
    assert times.seconds(40) == pytest.approx(0.05)
    assert times.rows_within(0.027) == pytest.approx(4.5)
    assert times.rows_within(0.05) == math.inf
    assert times.rows_within(0.01) == 0.0


def test_what_is_known_of_few_rows_is_kept_while_many_run() -> None:
    times = learned((1, 0.02), *[(16, 0.05)] * 1000)
    assert times.seconds(1) == pytest.approx(0.02)


def test_a_step_that_was_held_up_is_not_taken_for_a_usual_one() -> None:
    steps = [(4, 0.03)] * (REMEMBERED_STEPS // 2 + 1) + [(4, 0.2)] * (REMEMBERED_STEPS // 2)
    assert learned(*steps).seconds(4) == pytest.approx(0.03)


def test_fewer_rows_never_take_more() -> None:
    times = learned((1, 0.05), (4, 0.03), (16, 0.06))
    assert times.seconds(1) == pytest.approx(0.03)
    assert times.rows_within(0.05) == pytest.approx(12)


def bound_of(*steps: tuple[int, float]) -> float:
    """The rows that a flood may have beside one chat."""
    bound = RowBound()
    for rows, seconds in steps:
        bound.learn(rows, seconds)
    bound.wanted(CHAT, 1, 10.0)
    bound.wanted(FLOOD, 64, 10.0)
    return bound.max_rows(FLOOD, 10.0)


def test_a_flood_may_make_steps_a_part_longer_than_its_equal_would() -> None:
    steps = [(rows, 0.02 + 0.002 * rows) for rows in (1, 2, 4, 8, 16)]
    longest = CONTENDED_STEP_FACTOR * 0.024
    assert bound_of(*steps) == math.floor((longest - 0.02) / 0.002) - 1


def test_a_flood_is_not_bound_where_rows_cost_nothing() -> None:
    assert bound_of((1, 0.02), (16, 0.021)) == math.inf


def test_a_flood_gives_way_until_it_is_known_what_fewer_rows_take() -> None:
    assert bound_of((16, 0.05)) == 7
    assert bound_of((16, 0.05), (8, 0.03)) == 3


def test_alone_nothing_is_bound() -> None:
    bound = RowBound()
    bound.learn(16, 0.05)
    bound.wanted(FLOOD, 64, 10.0)
    assert bound.max_rows(FLOOD, 10.0) == math.inf


def test_a_step_with_a_prefill_says_nothing_about_decoding(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    engine.submit("one")
    engine.schedule()
    engine.scheduler.stepped(1, 9.0)
    assert engine.scheduler._row_bound._step_times.fewest == math.inf
    engine.step()
    engine.scheduler.stepped(1, 0.01)
    assert engine.scheduler._row_bound._step_times.seconds(1) == pytest.approx(0.01)
