"""What sampling does with the logits of one text: penalties, bias, cuts, ends, logprobs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from deployments.engine.codec import TextCodec
from deployments.engine.sampling import Sampled, Sampler
from deployments.seam.generation import TokenLogprob
from tests.deployments.engine.sampled_texts import LOGITS, step, text


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


def test_the_logits_of_the_model_are_not_changed(byte_codec: TextCodec) -> None:
    logits = LOGITS.repeat(2, 1)
    plan: dict[str, Any] = {"repetition_penalty": 2.0, "logit_bias": {1: 5.0}, "min_new": 3}
    rows = [text(byte_codec, (0, 1), temperature=0.7, **plan), text(byte_codec, temperature=0.0)]
    step(byte_codec, logits, *rows)
    assert torch.equal(logits, LOGITS.repeat(2, 1))
