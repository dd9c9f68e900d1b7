"""Each row of a batch is sampled as it is alone, and as a slow reference samples it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.compiler import GrammarCompiler
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.sampling import Sampled, Sampler
from deployments.engine.sequence import Sequence
from deployments.seam.generation import Grammar
from tests.deployments.engine.sampled_texts import LOGITS, step, text
from tests.deployments.engine.sampling_reference import ReferenceRow


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
