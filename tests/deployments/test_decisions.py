"""Typed decisions have the numbers of transformers' own pipeline on the same weights."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers.decision import DecisionConfig
from transformers.decision.template_utils import DECISION_PROMPT as THEIR_PROMPT

from configs.profile import ModelSpec
from deployments.engine.decision_prompt import DECISION_PROMPT
from deployments.engine.engine_loader import EngineLoader
from deployments.engine.interface import Engine
from deployments.generation import Generation
from deployments.models.config import FamilyConfig
from deployments.seam.decisions import DecisionRequest, DecisionResult
from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult
from tests.deployments.conftest import Configured
from tests.deployments.decision_requests import (
    CONFIG,
    QUESTIONS,
    STATES,
    probabilities,
    request,
    their_numbers,
    weights,
)
from tests.deployments.engine.tiny_models import opened, saved
from tests.deployments.families import started

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def tokenizer(byte_tokenizer: Tokenizer) -> Tokenizer:
    """Bytes, and the labels of a ``noul``."""
    made = Tokenizer.from_str(byte_tokenizer.to_str())
    made.add_tokens(["Yes", "No"])
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    made = saved(tmp_path_factory.mktemp("decide"), weights(), tokenizer)
    (made / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    return made


class InThisProcess(EngineLoader):
    """Opens engines in the process of the tests, which is quicker."""

    def load(self, spec: ModelSpec) -> Engine:
        return opened(self._config.folder(spec), slots=8)


async def opened_family(configuration: FamilyConfig) -> Generation:
    return await started(Generation(configuration, InThisProcess(configuration)))


@pytest.fixture
async def family(folder: Path, configured: Configured) -> AsyncIterator[Generation]:
    made = await opened_family(configured(folder))
    yield made
    engine_of(made).close()


def engine_of(family: Generation) -> Engine:
    return family._models.loaded[0].model


async def decided(family: Generation, asked: DecisionRequest) -> DecisionResult:
    result = await asyncio.wait_for(family.decide(asked), PATIENCE_S)
    assert isinstance(result, DecisionResult)
    return result


def copied(folder: Path, there: Path, file: str, content: str) -> Path:
    """The model with a file of its own."""
    copy = there / "model"
    copy.mkdir()
    for each in folder.iterdir():
        if each.name != file:
            (copy / each.name).symlink_to(each)
    (copy / file).write_text(content)
    return copy


def test_the_prompt_is_that_of_transformers() -> None:
    assert DECISION_PROMPT == THEIR_PROMPT


@pytest.mark.parametrize("state", STATES)
async def test_probabilities_are_those_of_the_pipeline(
    family: Generation, tokenizer: Tokenizer, state: Any
) -> None:
    result = await decided(family, request(state, QUESTIONS))
    expected, tokens = their_numbers(tokenizer, state)
    assert result.prompt_tokens == tokens
    assert result.token_counts == (tokens, 0)
    for found, answer in zip(result.probabilities, expected.values(), strict=True):
        assert found == pytest.approx(probabilities(answer), abs=1e-5)
    assert len({round(each["true"], 6) for each in result.probabilities[:2]}) == 2


async def test_labels_and_temperatures_of_the_models_own_are_used(
    folder: Path, tmp_path: Path, configured: Configured, tokenizer: Tokenizer
) -> None:
    own: dict[str, Any] = {
        "labels": {"noul": ["y", "n"], "choice": ["1", "2", "3"]},
        "temperature": {"choice": 0.05, "noul": 3},
        "noul_options": ["false", "true"],
    }
    with_own = copied(folder, tmp_path, "decision.json", json.dumps(own))
    family = await opened_family(configured(with_own))
    result = await decided(family, request(STATES[0], QUESTIONS))
    expected, _ = their_numbers(tokenizer, STATES[0], DecisionConfig(**own))
    engine_of(family).close()
    for found, answer in zip(result.probabilities, expected.values(), strict=True):
        assert found == pytest.approx(probabilities(answer), abs=1e-5)


async def test_the_state_is_read_once_for_all_questions(family: Generation) -> None:
    """Each step's tokens are counted: the questions differ behind their common beginning."""
    engine: Any = engine_of(family)
    runner = engine._runner
    computed: list[int] = []
    packed = runner._model.packed

    def counted(chunks: Any) -> Any:
        computed.extend(each.last - each.first for each in chunks)
        return packed(chunks)

    runner._model.packed = counted
    result = await decided(family, request("x" * 600, QUESTIONS))
    assert result.prompt_tokens > 5 * 600
    assert sum(computed) < 600 + 5 * 300


async def test_all_questions_or_texts_of_a_request_are_one_use_of_the_model(
    family: Generation,
) -> None:
    (loaded,) = family._models.loaded
    before = loaded.requests
    await decided(family, request("Hi", QUESTIONS))
    assert (loaded.users, loaded.requests) == (0, before + 1)
    texts = SummaryRequest("request", "tiny", ("one", "two"), 3)
    summaries = await asyncio.wait_for(family.summarize(texts), PATIENCE_S)
    assert isinstance(summaries, SummaryResult)
    assert all(isinstance(each, Summary) for each in summaries.items)
    assert (loaded.users, loaded.requests) == (0, before + 2)


async def test_a_request_that_is_cancelled_has_no_further_question_tokenized(
    family: Generation,
) -> None:
    codec: Any = engine_of(family).codec
    loop, began, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    tokenized: list[str] = []
    encode = codec.encode_literal_chat

    def slow(text: str, variables: Any) -> Any:
        tokenized.append(text)
        loop.call_soon_threadsafe(began.set)
        assert go_on.wait(PATIENCE_S)
        return encode(text, variables)

    codec.encode_literal_chat = slow
    deciding = asyncio.create_task(family.decide(request("Hi", QUESTIONS)))
    await asyncio.wait_for(began.wait(), PATIENCE_S)
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    go_on.set()
    await asyncio.to_thread(family._prompts._tokenizing.shutdown)
    assert len(tokenized) == 1


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"criteria": {str(i): None for i in range(27)}}, "questions.tone.criteria", "26 options"),
        ({"instructions": "x" * 1100}, "questions.tone", "maximum context length is 1024"),
    ],
)
async def test_a_question_that_cannot_be_asked_is_named(
    family: Generation, change: dict[str, Any], field: str, words: str
) -> None:
    questions = {**QUESTIONS, "tone": {**QUESTIONS["tone"], **change}}
    problem = await family.decide(request("Hi", questions))
    assert isinstance(problem, Problem)
    assert problem.field == field
    assert words in problem.message


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("decision_template.jinja", "{{ state }}", "chat_template of its own"),
        ("decision.json", '{"adapter": "lora"}', "adapter of its own"),
        ("decision.json", '{"temperature": {"noul": 0}}', "mean nothing"),
        ("decision.json", '{"temperature": {"noul": NaN}}', "mean nothing"),
        ("decision.json", '{"temperature": {"noul": Infinity}}', "mean nothing"),
        ("decision.json", '{"labels": 7}', "cannot be read"),
        ("decision.json", '{"noul_options": [1, "true"]}', "mean nothing"),
        (
            "tokenizer_config.json",
            json.dumps(CONFIG | {"chat_control_tokens": [{"content": "<end>"}]}),
            "cannot be read",
        ),
        ("decision.json", '{"sanitize_control_tokens": false}', "off sanitize_control_tokens"),
        ("decision.json", '{"labels": {"noul": ["Yes!", "No"]}}', "one token each"),
        ("tokenizer_config.json", json.dumps(CONFIG | {"unk_token": "No"}), "one token each"),
    ],
)
async def test_a_model_that_was_trained_for_other_prompts_is_refused(
    folder: Path, tmp_path: Path, configured: Configured, file: str, content: str, words: str
) -> None:
    with_own = copied(folder, tmp_path, file, content)
    family = await opened_family(configured(with_own))
    problem = await family.decide(request("Hi", QUESTIONS))
    engine_of(family).close()
    assert isinstance(problem, Problem)
    assert words in problem.message


@pytest.mark.parametrize(
    ("template", "words"),
    [(None, "has no chat template"), ("{{ raise_exception('never') }}", "refuses these messages")],
)
async def test_a_template_that_shows_no_question_is_the_models_fault(
    folder: Path, tmp_path: Path, configured: Configured, template: str | None, words: str
) -> None:
    config = json.dumps(CONFIG | {"chat_template": template})
    with_own = copied(folder, tmp_path, "tokenizer_config.json", config)
    family = await opened_family(configured(with_own))
    problem = await family.decide(request("Hi", QUESTIONS))
    engine_of(family).close()
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.field) == ("validation", "model")
    assert words in problem.message


async def test_labels_outside_the_models_vocabulary_are_refused_and_the_engine_lives(
    folder: Path, tmp_path: Path, configured: Configured, tokenizer: Tokenizer
) -> None:
    larger = Tokenizer.from_str(tokenizer.to_str())
    larger.add_tokens(["Maybe"])
    with_own = copied(folder, tmp_path, "tokenizer.json", larger.to_str())
    (with_own / "decision.json").write_text('{"labels": {"noul": ["Yes", "Maybe"]}}')
    family = await opened_family(configured(with_own))
    problem = await asyncio.wait_for(family.decide(request("Hi", QUESTIONS)), PATIENCE_S)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.field) == ("validation", "questions.refund.criteria")
    assert "no token 259" in problem.message
    await decided(family, request("Hi", {"tone": QUESTIONS["tone"]}))
    engine_of(family).close()
