"""Log-probabilities of prompts are those of the model's own forward, however prompts are cut."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from deployments.seam.generation import PromptLogprobs
from tests.deployments.engine.reading import Reader
from tests.deployments.engine.tiny_models import generated, kv_gb, opened, saved, tiny

SCORED: dict[str, Any] = {"temperature": 0.0, "logprobs": True, "prompt_logprobs": True}


def scores_of(reader: Reader) -> PromptLogprobs:
    first, *others = reader.wait().tokens
    assert first.logprob is not None
    assert first.logprob.prompt is not None
    assert all(token.logprob and token.logprob.prompt is None for token in others)
    return first.logprob.prompt


def expected(model: Any, ids: list[int]) -> list[float]:
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), dim=-1)
    return [0.0, *(float(logprobs[at, each]) for at, each in enumerate(ids[1:]))]


@pytest.mark.parametrize("kind", ["llama", "sliding", "bloom"])
@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_each_token_has_the_models_own_probability(
    tmp_path: Path, byte_tokenizer: Tokenizer, kind: str, chunk: int
) -> None:
    model, dice = tiny(kind).eval(), random.Random(3)
    engine = opened(saved(tmp_path, model, byte_tokenizer), max_batched_tokens=chunk, slots=4)
    shared = [dice.randrange(256) for _ in range(40)]
    prompts = [[*shared, *(dice.randrange(256) for _ in range(n))] for n in (1, 5, 60, 60)]
    prompts += [[7], shared]
    readers = [
        Reader(engine, ids, new=2, top_logprobs=2, request=str(at), **SCORED).start()
        for at, ids in enumerate(prompts)
    ]
    beside = Reader(engine, shared, new=9, temperature=0.0).start()
    for ids, reader in zip(prompts, readers, strict=True):
        found = scores_of(reader)
        values = [token.logprob for token in found.tokens]
        assert values == pytest.approx(expected(model, ids), abs=1e-4)
        assert [token.raw for token in found.tokens] == [engine.codec.token_bytes(i) for i in ids]
        assert [len(token.top) for token in found.tokens] == [0] + [2] * (len(ids) - 1)
        assert all(token.top[0][1] >= token.logprob for token in found.tokens[1:])
        assert reader.ids == generated(model, ids, 2)
    assert beside.wait().ids == generated(model, shared, 9)
    engine.close()


def test_it_is_scored_anew_where_a_sequence_lost_its_place(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    model, dice = tiny("llama").eval(), random.Random(4)
    folder = saved(tmp_path, model, byte_tokenizer)
    engine = opened(folder, slots=4, kv_cache_gb=kv_gb(tokens=160), max_batched_tokens=16)
    prompts = [[dice.randrange(256) for _ in range(70)] for _ in range(6)]
    readers = [
        Reader(engine, ids, new=20, request=str(at), **SCORED).start()
        for at, ids in enumerate(prompts)
    ]
    for ids, reader in zip(prompts, readers, strict=True):
        values = [token.logprob for token in scores_of(reader).tokens]
        assert values == pytest.approx(expected(model, ids), abs=1e-4)
    engine.close()


def test_only_the_first_choice_has_them_and_marks_have_no_text(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    engine = opened(saved(tmp_path, tiny("llama").eval(), byte_tokenizer))
    ids = [256, *engine.codec.encode("Hi")]
    first, second = (
        Reader(engine, ids, new=1, choice=choice, **SCORED).start() for choice in (0, 1)
    )
    found = scores_of(first)
    assert (found.text, found.special) == ("Hi", (True, False, False))
    (token,) = second.wait().tokens
    assert token.logprob is not None
    assert token.logprob.prompt is None
    engine.close()
