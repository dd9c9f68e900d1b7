"""Keys share an engine's slots and tokens: no engine, no model, only turns."""

from __future__ import annotations

import random
from collections import Counter
from statistics import median

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.tuning import PREEMPTION_QUANTUM
from deployments.models.fair_shares import Owner
from tests.deployments.engine.simulated_engine import SimulatedEngine

SHOP, FLOOD = Owner("shop", ""), Owner("flood", "")


def slots_by_tenant(engine: SimulatedEngine) -> dict[str, int]:
    return dict(Counter(each.owner.tenant for each in engine.scheduler.running))


def tokens_by_owner(engine: SimulatedEngine) -> Counter[Owner]:
    tokens = Counter[Owner]()
    for sequence in engine.scheduler.sequences:
        tokens[sequence.owner] += len(sequence.generated)
    return tokens


def test_keys_have_equally_many_slots_however_many_requests_each_sends(
    byte_codec: TextCodec,
) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    for number in range(20):
        engine.submit(f"flood {number}", owner=FLOOD)
    engine.step(50)
    engine.submit("list", 8, owner=SHOP)
    engine.step(50)
    assert slots_by_tenant(engine) == {"shop": 2, "flood": 2}


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("flood", [4, 64])
def test_a_new_request_is_admitted_at_once_beside_another_keys_new_requests(
    byte_codec: TextCodec, slots: int, flood: int
) -> None:
    engine = SimulatedEngine(byte_codec, slots)
    for number in range(flood):
        engine.submit(f"flood {number}", owner=FLOOD)
    engine.step(100)
    for number in range(8):
        for each in range(flood):
            engine.submit(f"new {number} {each}", new=3, owner=FLOOD)
        engine.submit(f"shop {number}", new=1, owner=SHOP)
        engine.step()
        assert f"shop {number}" not in {each.request_id for each in engine.scheduler.sequences}
        engine.step(16)


@pytest.mark.parametrize("slots", [1, 3])
def test_tokens_are_shared_between_keys_and_not_between_requests(
    byte_codec: TextCodec, slots: int
) -> None:
    engine = SimulatedEngine(byte_codec, slots)
    for number in range(9):
        engine.submit(f"flood {number}", owner=FLOOD)
    for number in range(3):
        engine.submit(f"shop {number}", owner=SHOP)
    engine.step(4000)
    tokens = tokens_by_owner(engine)
    assert abs(tokens[SHOP] - tokens[FLOOD]) <= 2 * PREEMPTION_QUANTUM * slots


def test_tokens_are_shared_by_the_weights_of_keys(byte_codec: TextCodec) -> None:
    heavy = Owner("heavy", "", weight=3.0)
    one, four = SimulatedEngine(byte_codec, slots=1), SimulatedEngine(byte_codec, slots=4)
    for engine in (one, four):
        for number in range(4):
            engine.submit(f"heavy {number}", owner=heavy)
            engine.submit(f"shop {number}", owner=SHOP)
        engine.step(8000)
        tokens = tokens_by_owner(engine)
        assert tokens[heavy] / tokens[SHOP] == pytest.approx(3.0, rel=0.25)
    assert slots_by_tenant(four) == {"heavy": 3, "shop": 1}


def test_fairness_ids_split_the_part_of_their_key_and_add_nothing_to_it(
    byte_codec: TextCodec,
) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    splits = [Owner("shop", name) for name in ("web", "app")]
    for number in range(9):
        engine.submit(f"flood {number}", owner=FLOOD)
        engine.submit(f"web {number}", owner=splits[0])
    engine.submit("app", owner=splits[1])
    engine.step(4000)
    tokens = tokens_by_owner(engine)
    assert tokens[splits[0]] / tokens[splits[1]] == pytest.approx(1.0, rel=0.1)
    assert sum(tokens[each] for each in splits) / tokens[FLOOD] == pytest.approx(1.0, rel=0.1)


def test_prompts_weigh_as_much_as_the_tokens_that_could_be_decoded_meanwhile(
    byte_codec: TextCodec,
) -> None:
    engine = SimulatedEngine(byte_codec, slots=1)
    engine.submit("flood", owner=FLOOD)
    engine.submit("shop", owner=SHOP)
    engine.schedule()
    (running,) = engine.scheduler.running
    engine.scheduler.count(running, 1000)
    engine.step(1000)
    tokens = tokens_by_owner(engine)
    other = SHOP if running.owner == FLOOD else FLOOD
    assert tokens[other] >= 900


def test_a_key_that_was_idle_has_nothing_saved_up(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=1)
    engine.submit("flood", owner=FLOOD)
    engine.step(3000)
    engine.submit("shop", owner=SHOP)
    engine.step(3000)
    tokens = tokens_by_owner(engine)
    assert abs(tokens[FLOOD] - 3000 - tokens[SHOP]) <= 2 * PREEMPTION_QUANTUM


def test_random_keys_and_removals_leave_the_scheduler_consistent(byte_codec: TextCodec) -> None:
    chance = random.Random(5)
    engine = SimulatedEngine(byte_codec, slots=5, memory=400)
    owners = [Owner(f"key {n % 4}", f"id {n}", 1.0 + n % 4) for n in range(12)]
    for number in range(150):
        kind = chance.random()
        if kind < 0.3:
            engine.submit(
                f"request {number}",
                chance.randint(1, 4),
                new=chance.randint(1, 60),
                prompt=chance.choice([1, 9, 120, 390]),
                owner=chance.choice(owners),
            )
        elif kind < 0.45 and engine.scheduler.sequences:
            engine.scheduler.remove(chance.choice(engine.scheduler.sequences))
        else:
            engine.step()
            assert len(engine.scheduler.running) <= 5
            assert len(engine.scheduler.running) == 1 or engine.fits(engine.scheduler.running)
            assert bool(engine.scheduler.running) == bool(engine.scheduler.sequences)
    for _ in range(40_000):
        if engine.scheduler.idle:
            break
        engine.step()
    assert engine.scheduler.idle
    assert engine.scheduler._clocks == engine.scheduler._of_tenant == {}


def beside(byte_codec: TextCodec, neighbours: int, row_s: float) -> tuple[float, int]:
    """Seconds that a text of 30 tokens takes beside so many of another key, and the rows then."""
    engine = SimulatedEngine(byte_codec, slots=16, row_s=row_s)
    for number in range(12):  # with as many rows as there are, so that their cost is known
        engine.submit(f"early {number}", new=5 + 5 * number, owner=FLOOD)
    engine.step(80)
    for number in range(neighbours):
        engine.submit(f"flood {number}", owner=FLOOD)
    took, rows = 0.0, 0
    for number in range(4):
        engine.submit(f"shop {number}", new=30, owner=SHOP)
        began = engine.now
        while any(each.owner == SHOP for each in engine.scheduler.sequences):
            engine.step()
        took, rows = engine.now - began, len(engine.scheduler.running)
    return took, rows


@pytest.mark.parametrize("neighbours", [4, 64])
def test_a_flood_makes_steps_little_longer_than_an_equal_neighbour_would(
    byte_codec: TextCodec, neighbours: int
) -> None:
    equal, _ = beside(byte_codec, 1, row_s=0.005)
    flood, _ = beside(byte_codec, neighbours, row_s=0.005)
    assert flood <= 1.4 * equal


@pytest.mark.parametrize("clients", [4, 16, 64])
def test_prompts_of_a_flood_of_short_texts_count_too(byte_codec: TextCodec, clients: int) -> None:
    """Each of its texts begins with a prefill, which takes as long as two steps."""

    def seconds_beside(clients: int) -> float:
        engine = SimulatedEngine(byte_codec, slots=16, row_s=0.001, prefill_s=0.03)
        sent, took = 0, list[float]()
        for number in range(20):
            engine.submit(f"shop {number}", new=16, owner=SHOP)
            began = engine.now
            while any(each.owner == SHOP for each in engine.scheduler.sequences):
                for _ in range(clients - engine.scheduler._of_tenant.get("flood", 0)):
                    engine.submit(f"flood {sent}", new=16, owner=FLOOD)
                    sent += 1
                engine.step()
            took.append(engine.now - began)
        return median(took[10:])

    assert seconds_beside(clients) <= 1.5 * seconds_beside(1)


def test_where_rows_cost_little_a_key_has_all_slots_that_the_other_leaves(
    byte_codec: TextCodec,
) -> None:
    assert beside(byte_codec, 64, row_s=0.00001)[1] >= 15


def test_without_the_other_key_the_flood_has_all_slots_again(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=16, row_s=0.005)
    for number in range(40):
        engine.submit(f"flood {number}", new=2000 + number, owner=FLOOD)
    engine.step(20)
    engine.submit("shop", new=30, owner=SHOP)
    engine.step(200)
    assert len(engine.scheduler.running) == 16


def test_requests_of_two_keys_may_have_the_same_id(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    engine.submit("same", 8, owner=FLOOD)
    engine.submit("same", 8, owner=SHOP)
    engine.step(200)
    assert slots_by_tenant(engine) == {"shop": 2, "flood": 2}
    tokens = tokens_by_owner(engine)
    assert tokens[SHOP] / tokens[FLOOD] == pytest.approx(1.0, rel=0.1)
