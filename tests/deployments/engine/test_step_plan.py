from __future__ import annotations

from collections.abc import Iterable

from deployments.engine.codec import TextCodec
from deployments.engine.kv_blocks import BlockPool
from deployments.engine.sequence import Sequence
from deployments.engine.step_plan import RunningSequence, StepPlanner
from deployments.seam.generation import Sampling

SIZE = 4


class Sequences:
    """Running sequences over one pool, planned and advanced as an engine does it."""

    def __init__(self, codec: TextCodec, blocks: int = 100, *, max_tokens: int = 16) -> None:
        self._codec = codec
        self._served: dict[Sequence, tuple[float, ...]] = {}
        self.pool = BlockPool(blocks, SIZE, contiguous=False)
        self.planner = StepPlanner(self.pool, max_tokens, max_mixed=8)
        self.running: list[RunningSequence] = []

    def add(self, prompt: Iterable[int], *, new: int = 50, served: int = 0) -> RunningSequence:
        sequence = Sequence(
            codec=self._codec,
            prompt_ids=list(prompt),
            sampling=Sampling(),
            max_new_tokens=new,
            on_token=lambda token: None,
            on_failure=lambda problem: None,
        )
        self._served[sequence] = (served,)
        self.running.append(RunningSequence(sequence, self.pool))
        return self.running[-1]

    def step(self) -> dict[RunningSequence, tuple[int, int]]:
        """The ranges of the next step, which is computed, with token 7 sampled everywhere."""
        chunks = self.planner.plan(self.running, self._served.__getitem__)
        for running, chunk in chunks.items():
            running.table.advance(chunk.last)
            if chunk.samples:
                running.token_ids.append(7)
        return {running: (each.first, each.last) for running, each in chunks.items()}


def test_a_prompt_is_prefilled_in_chunks_and_then_decodes(byte_codec: TextCodec) -> None:
    sequences = Sequences(byte_codec)
    one = sequences.add(range(37))
    steps = [sequences.step() for _ in range(5)]
    assert steps == [
        {one: (0, 16)},
        {one: (16, 32)},
        {one: (32, 37)},
        {one: (37, 38)},
        {one: (38, 39)},
    ]


def test_decoding_sequences_are_in_every_step_and_prompts_get_less_beside_them(
    byte_codec: TextCodec,
) -> None:
    sequences = Sequences(byte_codec)
    decoding = sequences.add([1, 2])
    sequences.step()
    long = sequences.add(range(40, 70))
    assert sequences.step() == {decoding: (2, 3), long: (0, 8)}
    assert sequences.step() == {decoding: (3, 4), long: (8, 16)}


def test_the_least_served_request_is_prefilled_first(byte_codec: TextCodec) -> None:
    sequences = Sequences(byte_codec)
    much = sequences.add(range(20), served=100)
    little = sequences.add(range(50, 70), served=3)
    assert sequences.step() == {little: (0, 16)}
    assert sequences.step() == {little: (16, 20), much: (0, 12)}


def test_a_common_prompt_is_prefilled_once(byte_codec: TextCodec) -> None:
    sequences = Sequences(byte_codec)
    prompt = range(14)
    first, second, third = (sequences.add(prompt) for _ in range(3))
    assert sequences.step() == {first: (0, 14)}
    assert sequences.step() == {first: (14, 15), second: (12, 14), third: (12, 14)}
    assert first.table.blocks[:3] == second.table.blocks[:3] == third.table.blocks[:3]
    assert len({each.table.blocks[3] for each in (first, second, third)}) == 3


def test_a_prompt_that_only_begins_alike_waits_for_the_common_part(byte_codec: TextCodec) -> None:
    sequences = Sequences(byte_codec, max_tokens=8)
    system = list(range(8))
    one, other = sequences.add([*system, 20, 21]), sequences.add([*system, 30, 31])
    assert sequences.step() == {one: (0, 8)}
    assert sequences.step() == {one: (8, 10), other: (8, 10)}


def test_the_token_before_the_last_ends_a_sequence_before_it_is_delivered(
    byte_codec: TextCodec,
) -> None:
    sequences = Sequences(byte_codec)
    sequences.add([1, 2], new=2)
    ended = sequences.add([1, 9])
    sequences.step()
    ended.token_ids[-1] = min(byte_codec.eos_ids)
    sequences.step()
    assert sequences.step() == {}


def test_when_nobody_can_go_on_the_youngest_makes_room(byte_codec: TextCodec) -> None:
    sequences = Sequences(byte_codec, blocks=4)
    old, young = sequences.add(range(8)), sequences.add(range(50, 58))
    sequences.step()
    assert sequences.pool.used == 4
    assert sequences.step() == {}
    assert sequences.step() == {old: (8, 9)}
    assert young.table.computed < 8


def test_a_resumed_sequence_finds_its_own_blocks(byte_codec: TextCodec) -> None:
    sequences = Sequences(byte_codec)
    preempted = sequences.add(range(10))
    for _ in range(4):
        sequences.step()
    preempted.table.release()
    assert sequences.step() == {preempted: (12, 14)}
