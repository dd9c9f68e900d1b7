"""Who decodes: no engine, no model, only turns."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence as Listed

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.sequence import Sequence
from deployments.engine.tuning import PREEMPTION_QUANTUM, SLOT_QUANTUM
from tests.deployments.engine.simulated_engine import SimulatedEngine


def test_one_request_alone_has_every_slot(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    engine.submit("heavy", 16)
    engine.step()
    assert engine.slots == {"heavy": 4}
    assert engine.preempted == []


def test_a_new_request_is_admitted_at_once_and_slots_are_shared(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    engine.submit("heavy", 16)
    engine.step(50)
    engine.submit("new")
    engine.schedule()
    assert engine.slots == {"heavy": 3, "new": 1}
    engine.submit("other", 16)
    engine.schedule()
    assert engine.slots == {"heavy": 2, "new": 1, "other": 1}


def test_the_youngest_sequence_is_preempted_and_resumed_later(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=2)
    engine.submit("heavy", 3, new=40)
    engine.step(5)
    engine.submit("new", new=1)
    engine.schedule()
    (gone,) = engine.preempted
    assert (gone.choice, len(gone.generated)) == (1, 5)
    engine.step()
    assert gone in engine.scheduler.running
    engine.step(5)
    assert len(gone.generated) == 10


@pytest.mark.parametrize("heavies", [4, 20])
@pytest.mark.parametrize("choices", [1, 16])
def test_a_new_request_is_admitted_at_once_however_many_are_running(
    byte_codec: TextCodec, heavies: int, choices: int
) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    for number in range(heavies):
        engine.submit(f"heavy {number}", choices)
    engine.step(200 * heavies)
    for number in range(10):
        engine.submit(f"new {number}", new=1)
        engine.step()
        assert f"new {number}" not in {each.request_id for each in engine.scheduler.sequences}


def test_new_requests_wait_only_for_each_other(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    for number in range(20):
        engine.submit(f"heavy {number}", 16)
    engine.step(2400)
    for number in range(12):
        engine.submit(f"new {number}", new=2)
    engine.step(6)
    left = {each.request_id for each in engine.scheduler.sequences}
    assert not any(name.startswith("new") for name in left)


@pytest.mark.parametrize("tokens", [32, 100])
def test_under_overload_no_request_waits_for_all_that_come_after_it(
    byte_codec: TextCodec, tokens: int
) -> None:
    """Seven are always there, for four slots: each one that ends makes room for a new one."""
    engine = SimulatedEngine(byte_codec, slots=4)
    came, took = dict[str, float](), dict[str, float]()
    for _ in range(3000):
        present = {each.request_id for each in engine.scheduler.sequences}
        took |= {name: engine.now - came[name] for name in came.keys() - present - took.keys()}
        for _ in range(7 - len(present)):
            name = str(len(came))
            came[name] = engine.now
            engine.submit(name, new=tokens)
        engine.step()
    mean = sum(took.values()) / len(took)
    assert len(took) > 0.94 * 4 * 3000 / tokens
    assert max(took.values()) < 1.5 * mean
    assert len(engine.preempted) <= (0 if tokens < SLOT_QUANTUM else 2 * len(took))


def test_a_short_request_overtakes_long_ones_that_came_just_before_it(
    byte_codec: TextCodec,
) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    for number in range(20):
        engine.submit(f"heavy {number}", 8)
        engine.step()
    engine.submit("short", new=1)
    engine.step(20)
    assert "short" not in {each.request_id for each in engine.scheduler.sequences}


class SharedPrompts(SimulatedEngine):
    """The sequences of a request have one copy of its prompt in the KV cache, as in an engine."""

    def fits(self, sequences: Listed[Sequence]) -> bool:
        prompts = {each.request_id: len(each.prompt_ids) for each in sequences}
        return self.memory is None or sum(prompts.values()) + len(sequences) <= self.memory


def test_a_short_prompt_finds_a_slot_behind_long_ones_that_find_no_room(
    byte_codec: TextCodec,
) -> None:
    """Four long requests have all slots and most of the KV cache, and twenty more wait."""
    engine = SharedPrompts(byte_codec, slots=16, memory=4500)
    for number in range(24):
        engine.submit(f"long {number}", 4, new=2, prompt=1000)
    engine.schedule()
    assert sum(engine.slots.values()) == 16
    engine.now += 1.0
    engine.submit("short", new=1)
    engine.schedule()
    assert engine.slots["short"] == 1


def test_more_requests_than_slots_are_served_equally(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    for number in range(10):
        engine.submit(f"heavy {number}", number + 1)
    engine.step(6000)
    tokens = Counter[str]()
    for sequence in engine.scheduler.sequences:
        tokens[sequence.request_id] += len(sequence.generated)
    assert min(tokens.values()) > 2400 - 2 * PREEMPTION_QUANTUM
    assert max(tokens.values()) < 2400 + 2 * PREEMPTION_QUANTUM
    assert len(engine.preempted) < 2 * 6000 * 4 / PREEMPTION_QUANTUM


def test_a_flood_of_new_requests_does_not_starve_the_running_ones(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    engine.submit("heavy", 4)
    heavy = engine.scheduler.sequences
    for number in range(400):
        for each in range(2):
            engine.submit(f"new {number} {each}", new=3)
        engine.step(2)
    assert sum(len(each.generated) for each in heavy) > 400


def test_a_late_request_is_not_compensated_for_the_time_before_it(
    byte_codec: TextCodec,
) -> None:
    engine = SimulatedEngine(byte_codec, slots=1)
    engine.submit("early")
    engine.step(1000)
    engine.submit("late")
    engine.step(2000)
    early, late = (
        next(len(each.generated) for each in engine.scheduler.sequences if each.request_id == name)
        for name in ("early", "late")
    )
    assert abs((early - 1000) - late) <= 2 * PREEMPTION_QUANTUM


def test_the_kv_cache_bounds_what_runs_together_and_new_requests_get_a_part(
    byte_codec: TextCodec,
) -> None:
    engine = SimulatedEngine(byte_codec, slots=4, memory=800)
    for number in range(4):
        engine.submit(f"heavy {number}", 2, prompt=250)
    engine.step(200)
    assert len(engine.scheduler.running) == 2
    for number in range(10):
        engine.submit(f"new {number}", new=1, prompt=150)
        engine.step(2)
        assert engine.fits(engine.scheduler.running)
    left = {each.request_id for each in engine.scheduler.sequences}
    assert left == {f"heavy {number}" for number in range(4)}


def test_sequences_that_outgrow_the_kv_cache_are_preempted_and_all_finish(
    byte_codec: TextCodec,
) -> None:
    engine = SimulatedEngine(byte_codec, slots=4, memory=100)
    engine.submit("heavy", 4, prompt=10, new=80)
    together = []
    for _ in range(400):
        engine.step()
        together.append(len(engine.scheduler.running))
        assert engine.fits(engine.scheduler.running)
    assert engine.scheduler.idle
    assert max(together) == 4
    assert engine.preempted


def test_a_sequence_that_is_larger_than_the_kv_cache_runs_alone(byte_codec: TextCodec) -> None:
    engine = SimulatedEngine(byte_codec, slots=4, memory=100)
    engine.submit("giant", prompt=500)
    engine.submit("small")
    engine.step(3)
    assert engine.slots in ({"giant": 1}, {"small": 1})


def test_next_takes_the_requests_in_turn_and_their_sequences_too(
    byte_codec: TextCodec,
) -> None:
    engine = SimulatedEngine(byte_codec, slots=4)
    engine.submit("heavy", 3)
    engine.submit("small")
    engine.schedule()
    turns = []
    for _ in range(12):
        sequence = engine.scheduler.next()
        assert sequence is not None
        engine.scheduler.count(sequence, 1)
        turns.append((sequence.request_id, sequence.choice))
    assert Counter(request for request, _ in turns) == {"heavy": 6, "small": 6}
    assert Counter(turns)["heavy", 0] == Counter(turns)["heavy", 2] == 2


def test_random_arrivals_and_removals_leave_the_scheduler_consistent(byte_codec: TextCodec) -> None:
    chance = random.Random(3)
    engine = SimulatedEngine(byte_codec, slots=5, memory=400)
    for number in range(1500):
        kind = chance.random()
        if kind < 0.25:
            engine.submit(
                f"{chance.randrange(40)}",
                chance.randint(1, 6),
                new=chance.randint(1, 90),
                prompt=chance.choice([1, 9, 120, 390]),
            )
        elif kind < 0.4 and engine.scheduler.sequences:
            engine.scheduler.remove(chance.choice(engine.scheduler.sequences))
        else:
            engine.step()
            assert len(engine.scheduler.running) <= 5
            assert len(engine.scheduler.running) == 1 or engine.fits(engine.scheduler.running)
            assert bool(engine.scheduler.running) == bool(engine.scheduler.sequences)
        assert len({id(each) for each in engine.scheduler.sequences}) == len(
            engine.scheduler.sequences
        ), number
    engine.step(40_000)
    assert engine.scheduler.idle
    assert engine.scheduler.next() is None
    assert engine.scheduler._requests == {}
