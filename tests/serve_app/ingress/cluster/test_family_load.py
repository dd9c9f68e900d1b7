"""The rate at which a family finishes calls is measured while it has enough of them."""

from __future__ import annotations

from collections import deque

import pytest

from serve_app.ingress.cluster.family_load import (
    MAX_RETRY_S,
    NO_TENANT,
    CallInFlight,
    FamilyLoad,
    Tenant,
)

PARALLEL = 4


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Simulation:
    """A family that finishes a call every ``every_s``, with so many always in flight."""

    def __init__(self, **limits: int) -> None:
        self.clock = Clock()
        limit = limits.get("limit")
        self.load = FamilyLoad(lambda: PARALLEL, lambda: limit, self.clock)
        self.calls: deque[CallInFlight] = deque()

    def run(self, calls: int, every_s: float, units: float = 1.0, in_flight: int = 8) -> None:
        self.begin(in_flight - self.load.in_flight)
        for _ in range(calls):
            self.clock.now += every_s
            self.end(units)
            self.begin(1)

    def begin(self, calls: int, tenant: Tenant = NO_TENANT) -> None:
        self.calls.extend(self.load.begin(tenant) for _ in range(calls))

    def end(self, units: float, *, whole: bool = True) -> None:
        """The oldest call ends."""
        self.load.end(self.calls.popleft(), units, whole=whole)

    def pause(self, seconds: float) -> None:
        """Nothing is in flight for so long."""
        while self.calls:
            self.end(0.0, whole=False)
        self.clock.now += seconds


def test_nothing_is_predicted_before_calls_have_ended() -> None:
    simulation = Simulation()
    simulation.run(3, 1.0)
    assert simulation.load.seconds_for(1.0) == 0.0
    assert simulation.load.retry_after_s == 1


def test_a_call_takes_as_long_as_all_in_flight_need_for_as_much() -> None:
    simulation = Simulation()
    simulation.run(20, 0.5, units=10.0)  # 20 units a second, 8 in flight
    assert simulation.load.seconds_for(10.0) == pytest.approx(9 * 10 / 20)
    assert simulation.load.seconds_for(1.0) == pytest.approx(9 * 1 / 20)


def test_below_its_parallel_calls_a_family_is_not_measured_and_nothing_waits() -> None:
    simulation = Simulation()
    simulation.run(20, 0.5)
    simulation.pause(1000.0)
    simulation.run(20, 100.0, in_flight=PARALLEL - 1)  # few calls, far between
    assert simulation.load.seconds_for(1.0) == 0.0
    simulation.run(1, 0.5)
    assert simulation.load.seconds_for(1.0) == pytest.approx(9 * 0.5, rel=0.2)


def test_a_family_that_becomes_faster_is_believed_after_a_while() -> None:
    simulation = Simulation()
    simulation.run(50, 1.0)
    simulation.run(200, 0.1)
    assert simulation.load.seconds_for(1.0) == pytest.approx(0.9, rel=0.1)


def test_a_family_that_finishes_nothing_is_predicted_to_take_ever_longer() -> None:
    simulation = Simulation()
    simulation.run(20, 0.1)
    before = simulation.load.seconds_for(1.0)
    simulation.clock.now += 100.0
    assert simulation.load.seconds_for(1.0) > 20 * before


def test_calls_that_end_together_are_all_counted() -> None:
    """As those of one batch do, although few are in flight behind the first."""
    simulation = Simulation()
    for _ in range(10):
        simulation.begin(8)
        simulation.clock.now += 2.0
        for _ in range(8):
            simulation.end(1.0)
    simulation.begin(8)
    assert simulation.load.seconds_for(1.0) == pytest.approx(9 / 4, rel=0.15)


def test_what_was_written_for_clients_that_left_counts_as_work_and_not_as_a_call() -> None:
    simulation = Simulation()
    simulation.run(20, 1.0, units=10.0)
    for _ in range(20):
        simulation.clock.now += 1.0
        simulation.end(1.0, whole=False)
        simulation.begin(1)
    assert simulation.load.usual_units >= 10.0


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_clients_that_leave_in_the_same_moment_say_nothing_about_the_rate(seconds: float) -> None:
    """Between the first and the last of them no token may have come, or one."""
    simulation = Simulation()
    simulation.begin(20)
    simulation.clock.now += 2.0
    for _ in range(20):
        simulation.load.wrote(1.0)
    for _ in range(20):
        simulation.load.end(simulation.calls.popleft(), 1.0, whole=False, told=1.0)
        simulation.clock.now += seconds / 20
    simulation.begin(20)
    assert simulation.load.seconds_for(8.0) == pytest.approx(21 * 8 / 10, rel=0.2)


def test_calls_that_still_run_may_be_nearly_done() -> None:
    """After clients that left, a moment without an answer says nothing about the rate either."""
    simulation = Simulation()
    simulation.begin(20)
    simulation.clock.now += 2.0
    simulation.load.wrote(19.0)
    for late in (0.0, 1.0, *[0.0] * 18):  # one token comes after the first has left
        simulation.load.wrote(late)
        simulation.load.end(simulation.calls.popleft(), 1.0, whole=False, told=1.0)
    simulation.begin(16)
    simulation.clock.now += 1.5
    simulation.begin(4)
    assert simulation.load.seconds_for(8.0) == pytest.approx(21 * 8 / 10, rel=0.2)


def test_the_delay_is_the_time_of_those_that_wait() -> None:
    simulation = Simulation()
    simulation.run(40, 2.0, in_flight=PARALLEL + 6)
    assert simulation.load.retry_after_s == 12
    simulation.run(2000, 0.01, in_flight=PARALLEL + 6)
    assert simulation.load.retry_after_s == 1
    simulation.run(40, 50.0, in_flight=PARALLEL + 6)
    assert simulation.load.retry_after_s == MAX_RETRY_S


def test_it_is_full_at_its_limit() -> None:
    simulation = Simulation(limit=5)
    simulation.run(0, 1.0, in_flight=4)
    assert not simulation.load.is_full_for()
    simulation.run(0, 1.0, in_flight=5)
    assert simulation.load.is_full_for()


def test_a_tenant_waits_for_its_own_calls_in_its_share_of_the_time() -> None:
    simulation = Simulation()
    simulation.run(40, 0.1, in_flight=30)  # ten calls a second
    ada, bob = Tenant("ada"), Tenant("bob", 3.0)
    simulation.begin(1, ada)
    assert simulation.load.seconds_for(1.0, ada) == pytest.approx(2 / 5, rel=0.1)
    assert simulation.load.seconds_for(1.0, bob) == pytest.approx(1 / 6, rel=0.1)


@pytest.mark.parametrize("name", ["flood", "anonymous"])
def test_a_tenant_that_floods_leaves_places_to_others(name: str) -> None:
    simulation = Simulation(limit=100)
    flood, other = Tenant(name), Tenant("other")
    while not simulation.load.is_full_for(flood):
        simulation.begin(1, flood)
    assert simulation.load.in_flight == 80
    while not simulation.load.is_full_for(other):
        simulation.begin(1, other)
    assert simulation.load.in_flight == 96
    for _ in range(80):
        simulation.end(0.0, whole=False)
    assert not simulation.load.is_full_for(flood)


def test_without_tenants_every_place_is_taken() -> None:
    simulation = Simulation(limit=100)
    simulation.run(0, 1.0, in_flight=99)
    assert not simulation.load.is_full_for()


def test_a_family_that_answers_nothing_in_time_has_no_time_for_more() -> None:
    """As in a burst before anything was measured: every call is cut short at its deadline."""
    simulation = Simulation()
    simulation.begin(50)
    simulation.clock.now += 10.0
    for _ in range(20):
        simulation.end(0.0, whole=False)
    simulation.clock.now += 0.01
    assert simulation.load.seconds_for(1.0) > 1000.0


def test_calls_that_fail_at_once_say_nothing_about_the_time() -> None:
    simulation = Simulation()
    simulation.run(20, 1.0)
    before = simulation.load.seconds_for(1.0)
    for _ in range(30):
        simulation.clock.now += 0.001
        simulation.load.withdraw(simulation.calls.popleft())
        simulation.begin(1)
    assert simulation.load.seconds_for(1.0) == pytest.approx(before, rel=0.01)


def test_a_list_waits_for_the_work_of_single_texts_and_not_for_as_many_lists() -> None:
    simulation = Simulation()
    simulation.run(40, 0.01, in_flight=32)  # a hundred texts a second
    assert simulation.load.seconds_for(2000.0) == pytest.approx(2032 / 100, rel=0.1)
    for _ in range(8):
        simulation.calls.append(simulation.load.begin(units=500.0))
    assert simulation.load.seconds_for(2000.0) == pytest.approx(6032 / 100, rel=0.1)
    assert simulation.load.seconds_for(1.0) == pytest.approx(41 / 100, rel=0.1)


def test_a_tenant_waits_no_longer_than_for_all_calls_in_flight() -> None:
    simulation = Simulation()
    simulation.run(40, 0.1, in_flight=PARALLEL)  # ten calls a second
    ada = Tenant("ada")
    simulation.begin(16, ada)
    for number in range(9):
        simulation.begin(1, Tenant(f"key {number}"))
    everything = simulation.load.in_flight + 1
    assert simulation.load.seconds_for(1.0, ada) == pytest.approx(everything / 10, rel=0.1)


def test_calls_that_did_nothing_leave_the_usual_work_as_it_was() -> None:
    simulation = Simulation()
    simulation.begin(50)
    simulation.clock.now += 10.0
    for _ in range(20):
        simulation.end(0.0, whole=False)
    assert simulation.load.usual_units == 1.0


def test_what_streams_have_written_counts_before_they_end() -> None:
    """Short calls ended, and then long ones run for minutes: a short one still waits little."""
    simulation = Simulation()
    simulation.run(40, 0.1, units=20.0, in_flight=16)  # 200 tokens a second
    for _ in range(1000):
        simulation.clock.now += 0.1
        simulation.load.wrote(20.0)
    assert simulation.load.seconds_for(20.0) == pytest.approx(17 * 20 / 200, rel=0.1)
    while simulation.calls:
        simulation.load.end(simulation.calls.popleft(), 1250.0, whole=True, told=1250.0)
    simulation.begin(16)
    assert simulation.load.seconds_for(20.0) == pytest.approx(17 * 20 / 200, rel=0.1)
