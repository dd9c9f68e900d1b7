"""How many questions of one request are at work, and when they stop."""

from __future__ import annotations

import asyncio

import pytest

from deployments.engine.decisions import QuestionPrompt, decide
from deployments.seam.decisions import DecisionQuestion, DecisionRequest, DecisionResult
from deployments.seam.generation import (
    GeneratedSequence,
    GenerationRequest,
    GenerationResult,
    TokenLogprob,
)
from deployments.seam.problems import Problem

PATIENCE_S = 60.0
TOO_LONG = Problem("context_length", "too long", "questions.2")
STOPPED = Problem("unavailable", "stopped")


def request(questions: int) -> DecisionRequest:
    found = [DecisionQuestion(str(i), "noul", None, {}) for i in range(questions)]
    return DecisionRequest("r", "m", "Hi", tuple(found))


class Model:
    """Answers ``limit`` questions, and holds up those behind them. Counts what is at work.

    The prompt of a question is its name. ``problems`` are those of tokenizing, by question.
    """

    def __init__(self, limit: int = 1000, problems: dict[str, Problem] | None = None) -> None:
        self.limit, self.problems = limit, problems or {}
        self.tokenizing = self.max_tokenizing = self.running = self.max_running = 0
        self.tokenized: list[str] = []
        self.holds_up = asyncio.Event()

    async def tokenize(self, question: DecisionQuestion) -> QuestionPrompt | Problem:
        self.tokenized.append(question.name)
        self.tokenizing += 1
        self.max_tokenizing = max(self.max_tokenizing, self.tokenizing)
        await asyncio.sleep(0)
        self.tokenizing -= 1
        prompt = QuestionPrompt((int(question.name),), ("true", "false"), (1, 2), 1.0)
        return self.problems.get(question.name, prompt)

    async def generate(self, request: GenerationRequest) -> GenerationResult | Problem:
        assert request.prompt_ids is not None
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        try:
            if request.prompt_ids[0] >= self.limit:
                self.holds_up.set()
                await asyncio.Event().wait()
            for _ in range(10):  # longer than tokenizing takes, so that several run
                await asyncio.sleep(0)
        finally:
            self.running -= 1
        logprob = TokenLogprob("", 0.0, b"", of_token_ids=(float(request.prompt_ids[0]), 0.0))
        return GenerationResult(1, (GeneratedSequence("", "length", 1, logprobs=(logprob,)),))


async def test_one_request_takes_no_more_slots_than_it_may() -> None:
    model = Model()
    result = await decide(request(20), model.tokenize, model.generate, max_running=3)
    assert isinstance(result, DecisionResult)
    assert (result.prompt_tokens, model.max_running, model.max_tokenizing) == (20, 3, 1)
    found = [each["true"] for each in result.probabilities]
    assert found[0] == 0.5
    assert found == sorted(found)


async def test_a_problem_of_one_question_stops_those_that_run_and_those_that_wait() -> None:
    model = Model(limit=0, problems={"2": TOO_LONG})
    result = await decide(request(20), model.tokenize, model.generate, max_running=4)
    assert result == TOO_LONG
    assert model.running == 0
    assert model.tokenized[:3] == ["0", "1", "2"]
    assert len(model.tokenized) <= 4


async def test_a_problem_while_generating_is_the_answer() -> None:
    model = Model(limit=0)

    async def stops(request: GenerationRequest) -> GenerationResult | Problem:
        return STOPPED if request.prompt_ids == (1,) else await model.generate(request)

    assert await decide(request(20), model.tokenize, stops, max_running=2) == STOPPED
    assert model.running == 0


async def test_a_client_that_leaves_stops_all_questions() -> None:
    model = Model(limit=0)
    answer = asyncio.create_task(decide(request(20), model.tokenize, model.generate, max_running=4))
    await asyncio.wait_for(model.holds_up.wait(), PATIENCE_S)
    assert model.running > 0
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    assert model.running == 0
    assert len(model.tokenized) <= 4
