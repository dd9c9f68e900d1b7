"""Keys share a model by the time of its forwards, on a clock that only forwards move."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import mean

import pytest

from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.scheduler import BatchLimits, BatchScheduler, QueuedItem, QueuedRequest
from deployments.models.fair_shares import Owner

FIXED_S, PER_TOKEN_S = 0.008, 0.0002
"""A small encoder on two cores."""

ELSEWHERE_S = 0.004
"""HTTP, the way to the replica, and tokenizing: a request spends so long outside of the lane."""


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """For futures to belong to; it never runs."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@dataclass
class Model:
    """A model with its queue. ``done`` counts the tokens that each tenant got."""

    loop: asyncio.AbstractEventLoop
    queue: BatchScheduler[float, None] = field(default_factory=BatchScheduler)
    forward_time: ForwardTimeModel = field(default_factory=ForwardTimeModel)
    now: float = 0.0
    done: Counter[Owner] = field(default_factory=Counter)
    waits: dict[str, list[float]] = field(default_factory=dict)
    coming: list[tuple[float, Owner, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for volume in (10, 100, 500):
            self.forward_time.learn(volume, FIXED_S + PER_TOKEN_S * volume)

    def ask(self, owner: Owner, *sizes: int) -> None:
        request = QueuedRequest(owner=owner)
        for size in sizes:
            result = self.loop.create_future()
            self.queue.add(QueuedItem(self.now, size, None, request, result, self.now))

    def run(self) -> list[QueuedItem[float, None]]:
        """One forward. What comes while it runs waits for the next one."""
        batch = self.queue.next_batch(BatchLimits(), self.forward_time, self.now)
        if batch is None:
            return []
        ended = self.now + FIXED_S + PER_TOKEN_S * batch.volume
        for at, owner, size in sorted(each for each in self.coming if each[0] <= ended):
            self.coming.remove((at, owner, size))
            self.now = at
            self.ask(owner, size)
        self.now = ended
        self.queue.finished(batch)
        for item in batch.items:
            self.done[item.request.owner] += item.size
            self.waits.setdefault(item.request.owner.tenant, []).append(self.now - item.item)
        return batch.items

    def beside(self, clients: int, *, pause: float = 0.05, seconds: float = 30.0) -> float:
        """The mean latency of one client of ``shop`` that pauses, beside clients of ``other``,
        which do so too if there is one, and else send at once."""
        shop, other = Owner("shop", ""), Owner("other", "")
        flood, dice = clients > 1, random.Random(clients)
        for owner in [shop, *[other] * clients]:
            self.ask(owner, 10)
        while self.now < seconds:
            answered = self.run()
            for item in answered:
                owner = item.request.owner
                if flood and owner == other:
                    self.ask(owner, 10)
                else:
                    self.coming.append((self.now + dice.uniform(0, 2 * pause), owner, 10))
            if not answered:
                self.now, owner, _ = first = min(self.coming)
                self.coming.remove(first)
                self.ask(owner, 10)
        return ELSEWHERE_S + mean(self.waits["shop"])


@pytest.fixture
def model(loop: asyncio.AbstractEventLoop) -> Model:
    return Model(loop)


def run_for(model: Model, seconds: float) -> None:
    while model.now < seconds:
        assert model.run()


def test_two_keys_get_the_same_time_however_many_requests_each_sends(model: Model) -> None:
    few, many = Owner("few", ""), Owner("many", "")
    model.ask(few, *[100] * 500)
    for _ in range(500):
        model.ask(many, 100)
    run_for(model, 5.0)
    assert model.done[few] / model.done[many] == pytest.approx(1.0, rel=0.1)


def test_time_is_shared_by_the_weights_of_keys(model: Model) -> None:
    light, heavy = Owner("light", ""), Owner("heavy", "", weight=3.0)
    for owner in (light, heavy):
        model.ask(owner, *[100] * 1000)
    run_for(model, 5.0)
    assert model.done[heavy] / model.done[light] == pytest.approx(3.0, rel=0.15)


def test_fairness_ids_split_the_part_of_their_key_and_add_nothing_to_it(model: Model) -> None:
    alone, shares = Owner("one", ""), [Owner("two", str(number)) for number in range(4)]
    model.ask(alone, *[100] * 1000)
    for share in shares:
        model.ask(share, *[100] * 1000)
    run_for(model, 10.0)
    parts = [model.done[share] for share in shares]
    assert sum(parts) / model.done[alone] == pytest.approx(1.0, rel=0.1)
    assert max(parts) / min(parts) < 1.5


def test_a_key_that_was_idle_has_nothing_saved_up(model: Model) -> None:
    busy, back = Owner("busy", ""), Owner("back", "")
    model.ask(busy, *[100] * 4000)
    run_for(model, 5.0)
    model.ask(back, *[100] * 4000)
    model.done.clear()
    run_for(model, 10.0)
    assert model.done[busy] / model.done[back] == pytest.approx(1.0, rel=0.1)


def test_one_key_alone_has_the_whole_model(model: Model) -> None:
    for _ in range(64):
        model.ask(Owner("one", ""), 10)
    assert len(model.run()) == 32


@pytest.mark.parametrize("clients", [4, 16, 64])
def test_a_flood_slows_another_key_little_more_than_its_equal_would(
    loop: asyncio.AbstractEventLoop, clients: int
) -> None:
    equal, flood = Model(loop).beside(1), Model(loop).beside(clients)
    assert flood <= 1.5 * equal
    assert flood <= 1.15 * Model(loop).beside(4)


def throughput_of_a_flood(loop: asyncio.AbstractEventLoop, *, pause: float | None) -> float:
    """Of 64 clients, beside one of another key that pauses for so long, or without it."""
    model = Model(loop)
    if pause is None:
        model.ask(Owner("other", ""), *[10] * 20_000)
        run_for(model, 30.0)
    else:
        model.beside(64, pause=pause)
    return model.done[Owner("other", "")] / model.now


def test_a_flood_keeps_a_fifth_of_its_throughput_beside_single_texts(
    loop: asyncio.AbstractEventLoop,
) -> None:
    alone = throughput_of_a_flood(loop, pause=None)
    assert throughput_of_a_flood(loop, pause=0.25) > 0.2 * alone


def test_a_text_a_second_leaves_another_key_half_of_its_throughput(
    loop: asyncio.AbstractEventLoop,
) -> None:
    alone = throughput_of_a_flood(loop, pause=None)
    assert throughput_of_a_flood(loop, pause=1.0) > 0.5 * alone


def test_what_is_remembered_of_fairness_ids_is_bounded(model: Model) -> None:
    for number in range(1000):
        model.ask(Owner("inventive", str(number)), 10)
    model.ask(Owner("other", ""), 10)
    assert len(model.queue._queues) <= 256 + 2
    while model.run():
        pass
    assert len(model.queue) == len(model.queue._queues) == 0
    assert len(model.queue._shares) == 0


def test_nothing_is_kept_of_keys_that_are_gone(loop: asyncio.AbstractEventLoop) -> None:
    model = Model(loop)
    for number in range(20):
        model.ask(Owner(f"key {number}", ""), 5, 6)
    while model.run():
        pass
    assert model.queue._bytes == model.queue._volumes == {}


def test_a_batch_beside_other_keys_is_formed_before_any_time_is_known(
    loop: asyncio.AbstractEventLoop,
) -> None:
    model = Model(loop, forward_time=ForwardTimeModel())
    for number in range(4):
        model.ask(Owner(f"key {number}", ""), 5)
    unknown = ForwardTimeModel()
    batch = model.queue.next_batch(BatchLimits(max_items=8), unknown, 0.0)
    assert batch is not None
    assert len(batch.items) == 4
    assert batch.fill == 0.5
