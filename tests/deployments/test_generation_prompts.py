"""How prompts and chats are read, cut to what fits, and refused; and tokenizing alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deployments.engine.codec import TextCodec
from deployments.generation import Generation
from deployments.seam.generation import ChatMessage, GenerationResult, Sampling
from deployments.seam.problems import Problem
from deployments.seam.tokenization import (
    DetokenizeRequest,
    DetokenizeResult,
    TokenizeRequest,
    TokenizeResult,
)
from tests.deployments.conftest import Configured
from tests.deployments.generation_answers import problem_of, request
from tests.deployments.puppet_engine import PATIENCE_S, PuppetEngine


@pytest.fixture
async def engine(byte_codec: TextCodec, monkeypatch: pytest.MonkeyPatch) -> PuppetEngine:
    made = PuppetEngine(byte_codec)
    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", lambda *_: made)
    return made


@pytest.fixture
def family(engine: PuppetEngine, configured: Configured, classifier_folder: Path) -> Generation:
    return Generation(configured(classifier_folder))


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"prompt": ""}, "prompt", "no tokens"),
        ({"prompt": None, "messages": ()}, "prompt", "at least one message"),
        ({"max_length": 4}, "max_length", "leaves none of 4"),
        ({"sampling": Sampling(logit_bias={257: 1.0})}, "logit_bias", "no token 257"),
        (
            {"sampling": Sampling(logprobs=True, logprob_token_ids=(1, 257))},
            "logprob_token_ids",
            "no token 257",
        ),
    ],
)
async def test_what_cannot_be_decoded_is_refused_by_its_field(
    family: Generation, engine: PuppetEngine, fields: dict[str, Any], field: str, said: str
) -> None:
    problem = await problem_of(family, **fields)
    assert (problem.kind, problem.field) == ("validation", field)
    assert said in problem.message
    assert engine.held == []


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"prompt": "x" * 64}, "prompt", "the prompt has 64,"),
        ({"prompt": "x" * 500}, "prompt", "the prompt has 500,"),
        ({"max_new_tokens": 61}, "max_new_tokens", "the prompt has 4, and 61 new ones"),
    ],
)
async def test_what_passes_the_window_is_told_with_its_length(
    family: Generation, engine: PuppetEngine, fields: dict[str, Any], field: str, said: str
) -> None:
    problem = await problem_of(family, **fields)
    assert (problem.kind, problem.field) == ("context_length", field)
    assert problem.message.startswith(f"This model's maximum context length is 64 tokens; {said}")
    assert engine.held == []


async def test_a_long_chat_loses_its_oldest_turns_only_where_it_is_asked_to(
    family: Generation, engine: PuppetEngine
) -> None:
    """The window of 64 tokens has room for the answer and the newest of two turns."""
    turns = [ChatMessage(role, 10 * role[0]) for role in ("user", "assistant")] * 2
    chat = (*turns, ChatMessage("user", "?"))
    asked = {"prompt": None, "messages": chat, "max_new_tokens": 20}
    assert (await problem_of(family, **asked)).field == "max_new_tokens"
    asking = asyncio.create_task(family.generate(request(**asked, trim_oldest=True)))
    sequence = await engine.submitted()
    kept = engine.codec.encode_chat(chat[-3:])
    assert list(sequence.prompt_ids) == kept
    engine.emit(sequence, "x" * 20)
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    assert answer.prompt_tokens == len(kept) == 24


async def test_a_message_that_fits_no_window_is_refused_however_much_is_trimmed(
    family: Generation,
) -> None:
    chat = (ChatMessage("user", "a"), ChatMessage("user", "b" * 80))
    problem = await problem_of(family, prompt=None, messages=chat, trim_oldest=True)
    assert problem.field == "prompt"


async def test_a_chat_is_read_as_its_turns(family: Generation, engine: PuppetEngine) -> None:
    turns = (ChatMessage("user", "Hi"), ChatMessage("assistant", "Yo"), ChatMessage("user", "So"))
    asking = asyncio.create_task(family.generate(request(prompt=None, messages=turns)))
    sequence = await engine.submitted()
    assert list(sequence.prompt_ids) == engine.codec.encode("Hi<end>Yo<end>So<end>")
    engine.finish(sequence)
    await asyncio.wait_for(asking, PATIENCE_S)


async def test_only_the_end_of_a_prompt_is_read_when_asked(
    family: Generation, engine: PuppetEngine
) -> None:
    for prompt, kept in (("Once upon", "upon"), ("in", "in")):
        task = asyncio.create_task(family.generate(request(prompt=prompt, keep_last=4)))
        sequence = await engine.submitted()
        assert engine.codec.decode(sequence.prompt_ids) == kept
        task.cancel()


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"prompt": "x" * 99 + "end", "max_new_tokens": 60}, "xend"),
        ({"prompt": "x" * 99 + "end", "max_new_tokens": 60, "keep_last": 2}, "nd"),
        ({"prompt": "end", "max_new_tokens": 60}, "end"),
        ({"prompt": None, "messages": (ChatMessage("user", "Hello"),), "keep_last": 4}, "llo"),
    ],
)
async def test_the_beginning_of_a_prompt_is_cut_where_it_is_asked_for(
    family: Generation, engine: PuppetEngine, fields: dict[str, Any], kept: str
) -> None:
    task = asyncio.create_task(family.generate(request(truncate=True, **fields)))
    sequence = await engine.submitted()
    assert engine.codec.decode(sequence.prompt_ids) == kept
    task.cancel()


async def test_the_beginning_of_given_tokens_is_cut_as_well(
    family: Generation, engine: PuppetEngine
) -> None:
    fields: dict[str, Any] = {"prompt_ids": tuple(range(99)), "max_new_tokens": 60}
    task = asyncio.create_task(family.generate(request(prompt=None, truncate=True, **fields)))
    assert (await engine.submitted()).prompt_ids == (95, 96, 97, 98)
    task.cancel()


async def test_a_prompt_and_a_chat_are_tokenized_without_the_engine_decoding(
    family: Generation, byte_codec: TextCodec
) -> None:
    plain = await family.tokenize(TokenizeRequest("tiny", prompt="Once"))
    assert isinstance(plain, TokenizeResult)
    assert list(plain.ids) == byte_codec.encode("Once")
    assert "".join(plain.texts).endswith("Once")
    chat = (ChatMessage("user", "Hi"),)
    told = await family.tokenize(TokenizeRequest("tiny", messages=chat))
    assert isinstance(told, TokenizeResult)
    assert list(told.ids) == byte_codec.encode_chat(chat)
    text = await family.detokenize(DetokenizeRequest("tiny", plain.ids))
    assert text == DetokenizeResult(byte_codec.decode(plain.ids, special_tokens=True))


async def test_a_token_that_the_model_does_not_know_has_no_text(
    family: Generation, byte_codec: TextCodec
) -> None:
    answer = await family.detokenize(DetokenizeRequest("tiny", (byte_codec.vocab_size,)))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "tokens")
