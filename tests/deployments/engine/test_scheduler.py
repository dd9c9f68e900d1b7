"""Who decodes: no engine, no model, only turns."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence as Listed

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.scheduler import Scheduler
from deployments.engine.sequence import Sequence
from deployments.engine.tuning import PREEMPTION_QUANTUM
from deployments.seam.generation import Sampling


class Office:
    """A scheduler, and an engine that decodes a token of every running sequence a step."""

    def __init__(self, codec: TextCodec, slots: int, memory: int | None = None) -> None:
        self.codec = codec
        self.memory = memory
        self.scheduler = Scheduler(slots, self.fits)
        self.preempted: list[Sequence] = []

    def fits(self, sequences: Listed[Sequence]) -> bool:
        return self.memory is None or sum(map(self.size, sequences)) <= self.memory

    def size(self, sequence: Sequence) -> int:
        return len(sequence.prompt_ids) + len(sequence.generated) + 1

    def ask(self, request: str, choices: int = 1, *, new: int = 10_000, prompt: int = 1) -> None:
        for choice in range(choices):
            sequence = Sequence(
                codec=self.codec,
                prompt_ids=[1] * prompt,
                sampling=Sampling(),
                max_new_tokens=new,
                on_token=lambda token: None,
                on_failure=lambda problem: None,
                choice=choice,
                request_id=request,
            )
            self.scheduler.add(sequence)

    def schedule(self) -> None:
        self.admit()
        for _ in range(100):
            preempted = self.scheduler.preempt()
            if not preempted:
                return
            self.preempted += preempted
            self.admit()
        raise AssertionError("sequences take the slots from each other for ever")

    def admit(self) -> None:
        while self.scheduler.admit() is not None:
            pass

    def step(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.schedule()
            for sequence in list(self.scheduler.running):
                self.scheduler.count(sequence, 1)
                if sequence.append(5):
                    self.scheduler.remove(sequence)
        self.schedule()

    @property
    def slots(self) -> dict[str, int]:
        """How many slots each request has."""
        return dict(Counter(sequence.request_id for sequence in self.scheduler.running))


def test_one_request_alone_has_every_slot(byte_codec: TextCodec) -> None:
    office = Office(byte_codec, slots=4)
    office.ask("heavy", 16)
    office.step()
    assert office.slots == {"heavy": 4}
    assert office.preempted == []


def test_a_newcomer_has_a_slot_at_once_and_others_get_their_share(byte_codec: TextCodec) -> None:
    office = Office(byte_codec, slots=4)
    office.ask("heavy", 16)
    office.step(50)
    office.ask("new")
    office.schedule()
    assert office.slots == {"heavy": 3, "new": 1}
    office.ask("other", 16)
    office.schedule()
    assert office.slots == {"heavy": 2, "new": 1, "other": 1}


def test_it_is_the_youngest_that_makes_room_and_it_goes_on_later(byte_codec: TextCodec) -> None:
    office = Office(byte_codec, slots=2)
    office.ask("heavy", 3, new=40)
    office.step(5)
    office.ask("new", new=1)
    office.schedule()
    (gone,) = office.preempted
    assert (gone.choice, len(gone.generated)) == (1, 5)
    office.step()
    assert gone in office.scheduler.running
    office.step(5)
    assert len(gone.generated) == 10


@pytest.mark.parametrize("heavies", [4, 20])
@pytest.mark.parametrize("choices", [1, 16])
def test_however_many_are_at_work_a_newcomer_waits_for_nobody(
    byte_codec: TextCodec, heavies: int, choices: int
) -> None:
    office = Office(byte_codec, slots=4)
    for number in range(heavies):
        office.ask(f"heavy {number}", choices)
    office.step(600)
    for number in range(10):
        office.ask(f"new {number}", new=1)
        office.step()
        assert f"new {number}" not in {each.request_id for each in office.scheduler.sequences}


def test_newcomers_that_come_together_wait_for_each_other_only(byte_codec: TextCodec) -> None:
    office = Office(byte_codec, slots=4)
    for number in range(20):
        office.ask(f"heavy {number}", 16)
    office.step(600)
    for number in range(12):
        office.ask(f"new {number}", new=2)
    office.step(6)
    left = {each.request_id for each in office.scheduler.sequences}
    assert not any(name.startswith("new") for name in left)


def test_where_there_are_more_requests_than_slots_all_get_as_much(byte_codec: TextCodec) -> None:
    office = Office(byte_codec, slots=4)
    for number in range(10):
        office.ask(f"heavy {number}", number + 1)
    office.step(6000)
    tokens = Counter[str]()
    for sequence in office.scheduler.sequences:
        tokens[sequence.request_id] += len(sequence.generated)
    assert min(tokens.values()) > 2400 - 2 * PREEMPTION_QUANTUM
    assert max(tokens.values()) < 2400 + 2 * PREEMPTION_QUANTUM
    assert len(office.preempted) < 2 * 6000 * 4 / PREEMPTION_QUANTUM


def test_a_flood_of_newcomers_does_not_stop_the_others(byte_codec: TextCodec) -> None:
    office = Office(byte_codec, slots=4)
    office.ask("heavy", 4)
    heavy = office.scheduler.sequences
    for number in range(400):
        for each in range(2):
            office.ask(f"new {number} {each}", new=3)
        office.step(2)
    assert sum(len(each.generated) for each in heavy) > 400


def test_a_request_that_comes_late_is_not_owed_what_it_did_not_ask_for(
    byte_codec: TextCodec,
) -> None:
    office = Office(byte_codec, slots=1)
    office.ask("early")
    office.step(1000)
    office.ask("late")
    office.step(2000)
    early, late = (
        next(len(each.generated) for each in office.scheduler.sequences if each.request_id == name)
        for name in ("early", "late")
    )
    assert abs((early - 1000) - late) <= 2 * PREEMPTION_QUANTUM


def test_memory_bounds_who_runs_together_and_a_newcomer_gets_some(byte_codec: TextCodec) -> None:
    office = Office(byte_codec, slots=4, memory=300)
    for number in range(4):
        office.ask(f"heavy {number}", 2, prompt=100)
    office.step(60)
    assert len(office.scheduler.running) == 2
    for number in range(10):
        office.ask(f"new {number}", new=1, prompt=60)
        office.step(2)
        assert office.fits(office.scheduler.running)
    left = {each.request_id for each in office.scheduler.sequences}
    assert left == {f"heavy {number}" for number in range(4)}


def test_those_that_grow_out_of_the_memory_make_room_and_end_all_the_same(
    byte_codec: TextCodec,
) -> None:
    office = Office(byte_codec, slots=4, memory=100)
    office.ask("heavy", 4, prompt=10, new=80)
    together = []
    for _ in range(400):
        office.step()
        together.append(len(office.scheduler.running))
        assert office.fits(office.scheduler.running)
    assert office.scheduler.idle
    assert max(together) == 4
    assert office.preempted


def test_a_sequence_that_fits_nowhere_runs_alone(byte_codec: TextCodec) -> None:
    office = Office(byte_codec, slots=4, memory=100)
    office.ask("giant", prompt=500)
    office.ask("small")
    office.step(3)
    assert office.slots in ({"giant": 1}, {"small": 1})


def test_one_at_a_time_the_requests_take_turns_and_so_do_their_sequences(
    byte_codec: TextCodec,
) -> None:
    office = Office(byte_codec, slots=4)
    office.ask("heavy", 3)
    office.ask("small")
    office.schedule()
    turns = []
    for _ in range(12):
        sequence = office.scheduler.next()
        assert sequence is not None
        office.scheduler.count(sequence, 1)
        turns.append((sequence.request_id, sequence.choice))
    assert Counter(request for request, _ in turns) == {"heavy": 6, "small": 6}
    assert Counter(turns)["heavy", 0] == Counter(turns)["heavy", 2] == 2


def test_whatever_comes_and_goes_the_books_are_right(byte_codec: TextCodec) -> None:
    chance = random.Random(3)
    office = Office(byte_codec, slots=5, memory=400)
    for number in range(1500):
        kind = chance.random()
        if kind < 0.25:
            office.ask(
                f"{chance.randrange(40)}",
                chance.randint(1, 6),
                new=chance.randint(1, 90),
                prompt=chance.choice([1, 9, 120, 390]),
            )
        elif kind < 0.4 and office.scheduler.sequences:
            office.scheduler.remove(chance.choice(office.scheduler.sequences))
        else:
            office.step()
            assert len(office.scheduler.running) <= 5
            assert len(office.scheduler.running) == 1 or office.fits(office.scheduler.running)
            assert bool(office.scheduler.running) == bool(office.scheduler.sequences)
        assert len({id(each) for each in office.scheduler.sequences}) == len(
            office.scheduler.sequences
        ), number
    office.step(40_000)
    assert office.scheduler.idle
    assert office.scheduler.next() is None
    assert office.scheduler._requests == {}
