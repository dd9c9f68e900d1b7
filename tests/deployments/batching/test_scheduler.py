"""Who shares a forward with whom, on a clock that only forwards and arrivals move."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.scheduler import BatchLimits, QueuedItem, QueuedRequest
from tests.deployments.batching.simulated_line import Line, arrivals_run, cost, ideal


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """For futures to belong to; it never runs."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def forward_time() -> ForwardTimeModel:
    """One that has learned what a forward takes."""
    forward_time = ForwardTimeModel()
    for volume in (10, 100, 500):
        forward_time.learn(volume, cost(volume))
    return forward_time


@pytest.fixture
def line(loop: asyncio.AbstractEventLoop, forward_time: ForwardTimeModel) -> Line:
    return Line(loop, forward_time)


def test_a_batch_is_of_like_lengths_around_the_one_whose_turn_it_is(line: Line) -> None:
    line.limits = BatchLimits(max_items=3)
    line.ask("first", 100)
    line.ask("list", 10, 95, 98, 104, 300)
    assert line.all_sizes()[0] == [98, 100, 104]


def test_a_forward_takes_no_more_tokens_than_allowed_with_padding(line: Line) -> None:
    line.limits = BatchLimits(max_volume=1000, max_seconds=10, max_items=100)
    line.ask("list", *[90] * 10, *[100] * 10)
    for sizes in line.all_sizes():
        assert len(sizes) * max(sizes) <= 1000


def test_an_item_over_every_bound_runs_alone(line: Line) -> None:
    line.limits = BatchLimits(max_volume=50, max_seconds=0.001)
    line.ask("list", 400, 400)
    assert line.all_sizes() == [[400], [400]]


def test_a_forward_is_expected_to_take_no_longer_than_the_limit(line: Line) -> None:
    line.limits = BatchLimits(max_items=1000, max_seconds=0.101)
    line.ask("list", *[20] * 100)
    sizes = line.all_sizes()
    assert [cost(20 * len(batch)) <= 0.101 for batch in sizes] == [True] * len(sizes)
    assert len(sizes[0]) == 23  # the most that fit


def test_where_one_item_takes_longer_than_the_limit_a_batch_may_take_twice_that(
    line: Line,
) -> None:
    line.limits = BatchLimits(max_items=1000, max_seconds=0.01)
    line.ask("list", *[400] * 10)
    assert [len(batch) for batch in line.all_sizes()] == [2] * 5


def test_a_single_item_is_in_the_next_batch_however_many_lists_are_at_work(line: Line) -> None:
    for name in ("one", "two", "three"):
        line.ask(name, *range(10, 200))
    for _ in range(7):
        line.run()
    line.ask("single", 60)
    assert "single" in line.names()


@pytest.mark.parametrize("lists", [1, 8, 16, 64])
def test_a_single_item_waits_for_two_batches_at_most_beside_any_number_of_lists(
    line: Line, lists: int
) -> None:
    dice = random.Random(lists)
    for number in range(lists):
        line.ask(f"list {number}", *(int(5 * 50 ** dice.random()) for _ in range(64)))
    waited = []
    for number in range(60):
        line.ask(name := f"single {number}", int(5 * 50 ** dice.random()))
        waited.append(1)
        while name not in line.names():
            waited[-1] += 1
    assert max(waited) <= 2
    assert sum(waited) <= 1.2 * len(waited)


def test_lists_that_singles_pass_by_still_have_their_part(line: Line) -> None:
    line.limits = BatchLimits(max_items=2, max_skipped_batches=4)
    for name in ("one", "two", "three"):
        line.ask(name, *[400] * 4)
    others = []
    for _ in range(60):
        line.ask("single", 10)
        others += [name for name in line.names() if name != "single"]
    assert sorted(others) == sorted(["one", "two", "three"] * 4)


def test_lists_take_turns(line: Line) -> None:
    line.limits = BatchLimits(max_items=4)
    line.ask("short", *[10] * 400)
    line.ask("long", *[400] * 400)
    runs = [line.names() for _ in range(6)]
    assert [names[0] for names in runs] == ["short", "long"] * 3


def test_singles_without_end_do_not_starve_a_list(line: Line) -> None:
    line.limits = BatchLimits(max_items=2, max_skipped_batches=5)
    line.ask("list", *[400] * 6)
    began = []
    for _ in range(40):
        line.ask("a", 10)
        line.ask("b", 10)
        began.append("list" in line.names())
    assert [i for i, yes in enumerate(began) if yes] == [5, 11, 17]


def test_no_item_waits_for_more_batches_than_allowed_whatever_its_length(line: Line) -> None:
    line.limits = BatchLimits(max_items=4, max_skipped_batches=4)
    dice, since, waited = random.Random(1), dict[str, int](), list[int]()
    for number in range(400):
        for each in range(dice.randint(0, 6) if number < 390 else 0):
            name = f"{number}.{each}"
            line.ask(name, int(5 * 80 ** dice.random()))
            since[name] = number
        waited += [number - since[name] for name in line.names()]
        if len(line.scheduler) > 12:  # more than patience can hold for: let it run dry
            while names := line.names():
                for name in names:
                    since.pop(name)
    assert max(waited) <= 4 + 3  # a few that are overdue at once may not fit together


def test_those_that_are_overdue_share_a_batch_where_they_fit(line: Line) -> None:
    line.limits = BatchLimits(max_items=2, max_skipped_batches=2)
    for each in "abcd":
        line.ask(each, 50, kind="other")
    line.ask("short", 10)
    line.ask("long", 200)
    assert [line.names(), line.names()] == [["a", "b"], ["c", "d"]]
    assert line.names() == ["short", "long"]


@pytest.mark.parametrize("number", [64, 256])
def test_more_requests_than_can_be_in_time_are_answered_as_fast_as_a_list(
    line: Line, number: int
) -> None:
    dice = random.Random(number)
    sizes = [int(5 * 50 ** dice.random()) for _ in range(number)]
    for size in sizes:
        line.ask("one", size)
    line.all_sizes()
    assert line.now <= 1.2 * ideal(sizes, line.limits)


def test_a_request_has_no_more_items_in_a_forward_than_it_wants(line: Line) -> None:
    line.ask("list", *[10] * 5, max_items=2)
    line.ask("other", *[10] * 3)
    assert sorted(line.names()) == ["list", "list", "other", "other", "other"]
    assert line.names() == ["list", "list"]


def test_kinds_never_mix(line: Line) -> None:
    line.ask("a", 10, 10, kind="a")
    line.ask("b", 10, kind="b")
    assert [line.names(), line.names(), line.names()] == [["b"], ["a", "a"], []]


def test_a_dropped_item_is_forgotten(line: Line) -> None:
    request = QueuedRequest()
    first, second = (
        QueuedItem("gone", 10, None, request, line.loop.create_future(), 0.0),
        QueuedItem("stays", 10, None, request, line.loop.create_future(), 0.0),
    )
    line.scheduler.add(first)
    line.scheduler.add(second)
    line.scheduler.remove(first)
    line.scheduler.remove(first)
    assert len(line.scheduler) == 1
    assert line.names() == ["stays"]
    line.scheduler.remove(second)
    assert line.names() == []
    assert len(line.scheduler) == 0


def test_fill_is_measured_against_the_nearest_bound(line: Line) -> None:
    line.limits = BatchLimits(max_items=10, max_volume=1000, max_seconds=10)
    line.ask("list", 10, 10)
    batch = line.run()
    assert batch is not None
    assert batch.fill == pytest.approx(0.2)
    line.ask("list", 400, 400)
    batch = line.run()
    assert batch is not None
    assert batch.fill == pytest.approx(0.8)


def test_sixty_four_requests_take_hardly_longer_than_the_ideal_schedule(
    loop: asyncio.AbstractEventLoop,
) -> None:
    # Ideal: forwards of 1, 20, 20, 20 and 3 items, back to back.
    took = arrivals_run(loop, [0.01 * i for i in range(64)], each=0.2)
    assert took <= 1.15 * 5 * 0.2


@pytest.mark.parametrize("seconds", [0.05, 0.1, 10.0])
@pytest.mark.parametrize("number", [32, 512])
def test_mixed_lengths_cost_little_more_than_the_best_cuts_there_are(
    line: Line, number: int, seconds: float
) -> None:
    dice = random.Random(number)
    sizes = [int(5 * 50 ** dice.random()) for _ in range(number)]
    line.limits = replace(line.limits, max_seconds=seconds)
    line.ask("list", *sizes)
    line.all_sizes()
    assert line.now <= 1.1 * ideal(sizes, line.limits)


def test_a_list_beside_single_queries_keeps_its_speed(line: Line) -> None:
    """Queries come one after the other, each as soon as the former is answered."""
    dice = random.Random(5)
    sizes = [int(5 * 50 ** dice.random()) for _ in range(512)]
    line.ask("list", *sizes)
    alone = ideal(sizes, line.limits)
    queries, worst, asked = 0, 0.0, -1.0
    while len(line.scheduler):
        began = line.now
        names = line.names()
        if "query" in names:
            worst = max(worst, line.now - asked)
            queries, asked = queries + 1, -1.0
        if asked < 0 and "list" in names:
            asked = began + (line.now - began) * dice.random()  # while the list is at work
            line.ask("query", 10)
    assert queries > 10
    assert worst <= 2 * line.limits.max_seconds
    assert line.now <= alone / 0.8
