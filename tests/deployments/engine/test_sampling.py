from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.compiler import GrammarCompiler
from deployments.engine.grammar.constraint import Constraint, ConstraintError
from deployments.engine.sampling import Sampled, Sampler
from deployments.engine.sequence import Sequence
from deployments.seam.generation import Grammar, Sampling, TokenLogprob
from tests.deployments.engine.sampling_reference import ReferenceRow

LOGITS = torch.full((257,), -20.0)
LOGITS[:4] = torch.tensor([4.0, 3.0, 2.0, -1.0])


def text(
    codec: TextCodec,
    generated: tuple[int, ...] = (),
    prompt: tuple[int, ...] = (200,),
    min_new: int = 0,
    constraint: Constraint | None = None,
    **sampling: Any,
) -> Sequence:
    return Sequence(
        codec=codec,
        prompt_ids=prompt,
        sampling=Sampling(**sampling),
        max_new_tokens=1000,
        min_new_tokens=min_new,
        on_token=lambda token: None,
        on_failure=lambda problem: None,
        resume_ids=generated,
        constraint=constraint,
    )


def step(
    codec: TextCodec, logits: torch.Tensor, *sequences: Sequence
) -> list[Sampled | ConstraintError]:
    sampler = Sampler(codec, torch.device("cpu"))
    for each in sequences:
        sampler.add(each)
    return sampler.sample(sequences, logits, sampler.prepare(sequences))


def sample(
    codec: TextCodec, generated: tuple[int, ...] = (), **given: Any
) -> tuple[int, TokenLogprob | None]:
    (outcome,) = step(codec, LOGITS[None], text(codec, generated, **given))
    assert isinstance(outcome, Sampled)
    return outcome.token_id, outcome.logprob


def sampled(codec: TextCodec, generated: tuple[int, ...] = (), **sampling: Any) -> int:
    return sample(codec, generated, **sampling)[0]


def test_greedy_takes_the_best(byte_codec: TextCodec) -> None:
    assert sampled(byte_codec, temperature=0.0) == 0
    assert sampled(byte_codec, top_k=1, temperature=2.0) == 0


def test_repetition_penalty_divides_positive_logits_of_prompt_and_text(
    byte_codec: TextCodec,
) -> None:
    assert sampled(byte_codec, (0,), temperature=0.0, repetition_penalty=1.3) == 0
    assert sampled(byte_codec, (0,), temperature=0.0, repetition_penalty=1.4) == 1
    assert sampled(byte_codec, prompt=(0,), temperature=0.0, repetition_penalty=1.4) == 1
    assert sampled(byte_codec, (0, 0, 0), temperature=0.0, repetition_penalty=1.3) == 0


def test_frequency_penalty_counts_each_time(byte_codec: TextCodec) -> None:
    assert sampled(byte_codec, (0,), temperature=0.0, frequency_penalty=0.6) == 0
    assert sampled(byte_codec, (0, 0), temperature=0.0, frequency_penalty=0.6) == 1
    assert sampled(byte_codec, (2,), temperature=0.0, frequency_penalty=-2.0) == 0
    assert sampled(byte_codec, (2, 2), temperature=0.0, frequency_penalty=-2.0) == 2


def test_presence_penalty_counts_once_and_not_the_prompt(byte_codec: TextCodec) -> None:
    assert sampled(byte_codec, (0,), temperature=0.0, presence_penalty=1.5) == 1
    assert sampled(byte_codec, (0, 0), temperature=0.0, presence_penalty=0.9) == 0
    assert sampled(byte_codec, prompt=(0,), temperature=0.0, presence_penalty=2.0) == 0


def test_penalties_lower_negative_logits_too(byte_codec: TextCodec) -> None:
    bias = {0: -100.0, 1: -100.0, 2: -2.5}
    assert sampled(byte_codec, temperature=0.0, logit_bias=bias) == 2
    assert sampled(byte_codec, (2, 3), temperature=0.0, logit_bias=bias, presence_penalty=2.0) == 2
    assert sampled(byte_codec, (3, 3), temperature=0.0, logit_bias={0: -4.5, 1: -3.5, 2: -2.5}) == 0


def test_bias_forces_and_bans(byte_codec: TextCodec) -> None:
    assert sampled(byte_codec, temperature=0.0, logit_bias={150: 100.0}) == 150
    assert sampled(byte_codec, temperature=0.0, logit_bias={0: -100.0}) == 1


def sampled_tokens(codec: TextCodec, count: int = 300, **sampling: Any) -> set[int]:
    sequences = [text(codec, seed=seed, **sampling) for seed in range(count)]
    outcomes = step(codec, LOGITS.expand(count, 257), *sequences)
    return {outcome.token_id for outcome in outcomes if isinstance(outcome, Sampled)}


def test_top_k_and_top_p_cut_the_tail(byte_codec: TextCodec) -> None:
    assert sampled_tokens(byte_codec, temperature=2.0, top_k=2) == {0, 1}
    assert sampled_tokens(byte_codec, temperature=1.0, top_p=0.6) == {0}
    assert sampled_tokens(byte_codec, temperature=1.0, top_p=0.85) == {0, 1}
    assert sampled_tokens(byte_codec, temperature=2.0) == {0, 1, 2, 3}


def test_min_p_cuts_what_is_unlikely_beside_the_likeliest(byte_codec: TextCodec) -> None:
    likely = torch.softmax(LOGITS, dim=-1)
    floor = float(likely[2] / likely[0])
    assert sampled_tokens(byte_codec, min_p=floor * 1.01) == {0, 1}
    assert sampled_tokens(byte_codec, min_p=floor * 0.99) == {0, 1, 2}


def test_a_sampled_token_depends_on_the_position(byte_codec: TextCodec) -> None:
    at = [sampled(byte_codec, (5,) * length, temperature=2.0, seed=1) for length in range(40)]
    again = [sampled(byte_codec, (5,) * length, temperature=2.0, seed=1) for length in range(40)]
    assert at == again
    assert len(set(at)) > 1


def test_logprobs_are_the_models_own(byte_codec: TextCodec) -> None:
    token, plain = sample(byte_codec, temperature=0.0, logprobs=True, top_logprobs=20)
    _, bent = sample(
        byte_codec,
        (0,),
        temperature=0.3,
        top_k=1,
        logprobs=True,
        top_logprobs=20,
        repetition_penalty=1.1,
    )
    assert plain is not None
    assert plain == bent
    assert plain.logprob == pytest.approx(4 - math.log(sum(math.exp(x) for x in LOGITS.tolist())))
    assert plain.raw == byte_codec.token_bytes(token)
    values = [value for _, value, _ in plain.top]
    assert values == sorted(values, reverse=True)
    assert len(values) == 20
    assert values[0] == plain.logprob
    assert sum(map(math.exp, values)) == pytest.approx(1.0, abs=1e-6)


def test_no_logprobs_unless_asked_for(byte_codec: TextCodec) -> None:
    assert sample(byte_codec, temperature=0.0)[1] is None


def test_no_end_before_the_minimum_whatever_speaks_for_it(byte_codec: TextCodec) -> None:
    towards_the_end = {256: 100.0}

    def next_token(already: int, **sampling: Any) -> int:
        bias = towards_the_end
        return sample(byte_codec, (5,) * already, min_new=2, logit_bias=bias, **sampling)[0]

    assert [next_token(already, temperature=0.0) for already in range(3)] == [0, 0, 256]
    assert next_token(1, temperature=2.0, seed=3) != 256


def test_alternatives_have_their_ids_and_marks(byte_codec: TextCodec) -> None:
    _, logprob = sample(byte_codec, logprobs=True, top_logprobs=257)
    assert logprob is not None
    assert logprob.top_ids[:4] == (0, 1, 2, 3)
    assert [text for text, _, _ in logprob.top[:4]] == [byte_codec.token_text(i) for i in range(4)]
    assert logprob.top_special == {256}


@pytest.fixture(scope="module")
def grammars(byte_codec: TextCodec) -> GrammarCompiler:
    return GrammarCompiler(byte_codec)


KINDS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.0, "logprobs": True},
    {"temperature": 0.0, "repetition_penalty": 1.3, "prompt": (0, 1, 2)},
    {"temperature": 0.0, "min_new": 5},
    {"logit_bias": {7: 3.0, 9: -100.0}, "temperature": 0.0},
    {},
    {"temperature": 1.7, "logprobs": True, "top_logprobs": 5},
    {"temperature": 0.6, "frequency_penalty": 0.5, "presence_penalty": -0.5},
    {"top_p": 0.9},
    {"temperature": 2.0, "top_p": 0.999, "logprobs": True, "top_logprobs": 2},
    {"top_k": 50, "top_p": 0.9, "repetition_penalty": 1.1},
    {"top_k": 2000, "temperature": 2.0},
    {"top_k": 5, "min_new": 9},
    {"held": True, "temperature": 0.0},
    {"held": True, "temperature": 2.0, "top_p": 0.95},
    {"held": True, "temperature": 1.5, "min_new": 9, "logit_bias": {97: 2.0}},
]


def test_every_row_of_a_batch_gets_what_it_gets_alone(
    byte_codec: TextCodec, grammars: GrammarCompiler
) -> None:
    letters, already = grammars.compile(Grammar("regex", "[a-f]*")), tuple(byte_codec.encode("aba"))

    def rows(round_: int) -> list[Sequence]:
        made = []
        for kind in KINDS:
            given = {"seed": round_, **kind}
            held = letters.fresh() if given.pop("held", False) else None
            made.append(text(byte_codec, already, constraint=held, **given))
        return made

    torch.manual_seed(0)
    for round_ in range(20):
        logits = 4 * torch.randn(len(KINDS), 1500)
        order = random.Random(round_).sample(range(len(KINDS)), len(KINDS))
        alone = [step(byte_codec, logits[row : row + 1], rows(round_)[row])[0] for row in order]
        sequences = rows(round_)
        together = step(byte_codec, logits[order], *(sequences[row] for row in order))
        assert together == alone
        assert all(isinstance(outcome, Sampled) for outcome in together)


def random_settings(dice: random.Random) -> dict[str, Any]:
    return {
        "temperature": dice.choice([0.0, 0.3, 1.0, 1.0, 1.9]),
        "top_k": dice.choice([0, 0, 1, 3, 40, 250]),
        "top_p": dice.choice([1.0, 1.0, 0.01, 0.5, 0.9, 0.9999]),
        "repetition_penalty": dice.choice([1.0, 1.0, 0.7, 1.1, 2.0]),
        "frequency_penalty": dice.choice([0.0, 0.0, -1.1, 0.3]),
        "presence_penalty": dice.choice([0.0, 0.0, -0.7, 1.9]),
        "logit_bias": dice.choice([{}, {}, {3: 5.5, 256: 2.5}]),
        "min_p": dice.choice([0.0, 0.0, 0.05, 0.5]),
        "typical_p": dice.choice([1.0, 1.0, 0.95, 0.3]),
        "seed": dice.randrange(1000),
    }


@pytest.mark.parametrize("grain", [0.5, 1e-6])
def test_tokens_are_those_of_a_slow_reference(
    byte_codec: TextCodec, grammars: GrammarCompiler, grain: float
) -> None:
    """``grain`` is the distance of logits: the coarse ones are often equal, as in bfloat16."""
    dice = random.Random(1)
    grammar = grammars.compile(Grammar("regex", "[aeiou]*"))
    allowed = frozenset(byte_codec.encode("aeiou")) | {256}
    torch.manual_seed(1)
    for _ in range(12):
        logits = (3 * torch.randn(16, 257) / grain).round() * grain
        sequences, expected = [], []
        for row in range(len(logits)):
            settings = random_settings(dice)
            prompt = tuple(dice.choices(range(257), k=dice.randrange(1, 9)))
            generated = tuple(dice.choices(sorted(allowed - {256}), k=dice.randrange(6)))
            held, early = dice.random() < 0.3, dice.random() < 0.3
            sequence = text(
                byte_codec,
                generated,
                prompt,
                min_new=9 if early else 0,
                constraint=grammar.fresh() if held else None,
                **settings,
            )
            reference = ReferenceRow(
                sequence.sampling,
                sequence.seed,
                prompt,
                generated,
                early_ends=frozenset({256}) if early else frozenset(),
                allowed=allowed if held else None,
            )
            sequences.append(sequence)
            expected.append(reference.token(logits[row].tolist()))
        outcomes = step(byte_codec, logits, *sequences)
        assert [each.token_id for each in outcomes if isinstance(each, Sampled)] == expected


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0])
def test_a_nucleus_may_be_wider_than_the_candidates(byte_codec: TextCodec, spread: float) -> None:
    torch.manual_seed(2)
    logits = spread * torch.randn(8, 5000)
    plans: list[dict[str, Any]] = [
        {"top_p": 0.9},
        {"top_k": 3000},
        {"top_k": 3000, "top_p": 0.5},
        {"top_k": 20},
        {"top_p": 0.9, "typical_p": 0.7},
        {"top_k": 3000, "min_p": 0.2},
    ]
    sequences = [text(byte_codec, seed=seed, **plans[seed % 6]) for seed in range(8)]
    outcomes = step(byte_codec, logits, *sequences)
    expected = [
        ReferenceRow(each.sampling, each.seed).token(row.tolist())
        for each, row in zip(sequences, logits, strict=True)
    ]
    assert [each.token_id for each in outcomes if isinstance(each, Sampled)] == expected


def test_rows_of_a_large_vocabulary_are_computed_in_chunks(
    byte_codec: TextCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(4)
    logits = 3 * torch.randn(len(KINDS), 257)
    free = [{k: v for k, v in kind.items() if k != "held"} for kind in KINDS]
    whole = step(byte_codec, logits, *(text(byte_codec, **kind) for kind in free))
    for size in (1, 257 * 3):
        monkeypatch.setattr("deployments.engine.sampling.CPU_CHUNK", size)
        assert step(byte_codec, logits, *(text(byte_codec, **kind) for kind in free)) == whole


def test_equals_that_reach_past_the_candidates_are_all_sampled(byte_codec: TextCodec) -> None:
    sequences = [text(byte_codec, top_k=20, seed=seed) for seed in range(300)]
    outcomes = step(byte_codec, torch.zeros(300, 2000), *sequences)
    ids = sorted(each.token_id for each in outcomes if isinstance(each, Sampled))
    assert ids[0] < 50
    assert ids[-1] > 1950


def test_tokens_are_as_frequent_as_they_are_likely(byte_codec: TextCodec) -> None:
    sequences = [text(byte_codec, seed=seed) for seed in range(4000)]
    outcomes = step(byte_codec, LOGITS.expand(4000, 257), *sequences)
    ids = torch.tensor([each.token_id for each in outcomes if isinstance(each, Sampled)])
    frequencies = torch.bincount(ids, minlength=257) / 4000
    assert (frequencies - LOGITS.softmax(-1)).abs().max() < 0.02


def test_a_text_continues_the_same_behind_an_interruption(byte_codec: TextCodec) -> None:
    def decode(interrupted: bool) -> list[int]:
        plan: dict[str, Any] = {"temperature": 1.5, "repetition_penalty": 1.5, "seed": 5}
        sequence = text(byte_codec, frequency_penalty=0.4, **plan)
        sampler = Sampler(byte_codec, torch.device("cpu"))
        sampler.add(sequence)
        for position in range(100):
            if interrupted and position % 30 == 29:
                sampler.remove(sequence)
                sampler.add(sequence)
            logits = torch.randn(1, 257, generator=torch.Generator().manual_seed(position))
            (outcome,) = sampler.sample([sequence], 3 * logits, sampler.prepare([sequence]))
            assert isinstance(outcome, Sampled)
            sequence.append(outcome.token_id)
        return sequence.generated

    assert decode(interrupted=True) == decode(interrupted=False)


def test_a_text_that_breaks_its_grammar_fails_alone(
    byte_codec: TextCodec, grammars: GrammarCompiler
) -> None:
    a, b = byte_codec.encode("ab")
    broken, held = (
        text(
            byte_codec, temperature=0.0, constraint=grammars.compile(Grammar("regex", "a+")).fresh()
        )
        for _ in range(2)
    )
    free = text(byte_codec, temperature=0.0)
    with pytest.raises(ConstraintError):
        broken.append(b)
    failure, *others = step(byte_codec, LOGITS.expand(3, 257), broken, held, free)
    assert isinstance(failure, ConstraintError)
    assert [each.token_id for each in others if isinstance(each, Sampled)] == [a, 0]


def test_the_logits_of_the_model_are_not_changed(byte_codec: TextCodec) -> None:
    logits = LOGITS.repeat(2, 1)
    plan: dict[str, Any] = {"repetition_penalty": 2.0, "logit_bias": {1: 5.0}, "min_new": 3}
    rows = [text(byte_codec, (0, 1), temperature=0.7, **plan), text(byte_codec, temperature=0.0)]
    step(byte_codec, logits, *rows)
    assert torch.equal(logits, LOGITS.repeat(2, 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_give_the_tokens_of_their_values(
    byte_codec: TextCodec, dtype: torch.dtype
) -> None:
    torch.manual_seed(3)
    half = torch.randn(len(KINDS), 257).mul(3).to(dtype)
    rows = [text(byte_codec, **{k: v for k, v in kind.items() if k != "held"}) for kind in KINDS]
    assert step(byte_codec, half, *rows) == step(byte_codec, half.float(), *rows)


def test_sequences_come_and_go(byte_codec: TextCodec) -> None:
    sampler = Sampler(byte_codec, torch.device("cpu"))
    sequence = text(byte_codec)
    sampler.remove(sequence)
    sampler.add(sequence)
    sampler.remove(sequence)
    sampler.remove(sequence)
    assert sampler.sample([], LOGITS[:0].view(0, 257), sampler.prepare([])) == []
