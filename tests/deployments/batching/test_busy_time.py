from __future__ import annotations

import pytest

from deployments.batching.busy_time import WINDOW_S, BusyTime


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_before_any_time_has_passed_nothing_was_busy(clock: Clock) -> None:
    assert BusyTime(1, clock).fraction() == 0


def test_a_forward_counts_while_it_runs_and_once_it_has_ended(clock: Clock) -> None:
    busy = BusyTime(1, clock)
    busy.begin("first")
    clock.now += 3
    assert busy.fraction() == 1
    busy.end("first")
    clock.now += 1
    assert busy.fraction() == pytest.approx(3 / 4)


def test_one_of_two_forwards_that_may_run_is_a_half(clock: Clock) -> None:
    busy = BusyTime(2, clock)
    busy.begin("first")
    clock.now += 4
    assert busy.fraction() == pytest.approx(1 / 2)


def test_what_is_long_ago_does_not_count(clock: Clock) -> None:
    busy = BusyTime(1, clock)
    busy.begin("first")
    clock.now += 5
    busy.end("first")
    for _ in range(int(WINDOW_S) + 1):
        busy.fraction()
        clock.now += 1
    assert busy.fraction() == 0


def test_several_readers_do_not_take_the_time_from_each_other(clock: Clock) -> None:
    busy = BusyTime(1, clock)
    busy.begin("first")
    for _ in range(10):
        clock.now += 0.1
        busy.fraction()
    busy.end("first")
    clock.now += 1
    assert busy.fraction() == busy.fraction() == pytest.approx(1 / 2)
