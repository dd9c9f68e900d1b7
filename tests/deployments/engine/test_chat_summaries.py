"""Summaries that a chat model is asked for."""

from __future__ import annotations

import asyncio

from deployments.engine.chat_summaries import summarize
from deployments.seam.generation import GeneratedSequence, GenerationRequest, GenerationResult
from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult

REQUEST = SummaryRequest("r", "m", ("one", "bad", "three"), 20, 5, truncate=True)


class Model:
    """Answers with the end of what it was asked, and remembers how many asked at once."""

    def __init__(self) -> None:
        self.asked: list[GenerationRequest] = []
        self.running = self.most = 0

    async def generate(self, request: GenerationRequest) -> GenerationResult | Problem:
        self.asked.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        assert request.messages
        text = request.messages[-1].content.rpartition("\n")[2]
        if text == "bad":
            return Problem("validation", "too long", "prompt")
        return GenerationResult(7, (GeneratedSequence(f" {text}! ", "stop", 3),))


async def test_a_text_that_fails_fails_alone() -> None:
    answer = await summarize(REQUEST, Model().generate, max_running=2)
    problem = Problem("validation", "too long")
    expected = (Summary("one!", 7, 3), problem, Summary("three!", 7, 3))
    assert answer == SummaryResult(expected)


async def test_each_text_is_decoded_greedily_within_the_bounds() -> None:
    model = Model()
    await summarize(REQUEST, model.generate, max_running=2)
    assert all(asked.sampling.greedy and asked.truncate for asked in model.asked)
    assert {(asked.max_new_tokens, asked.min_new_tokens) for asked in model.asked} == {(20, 5)}


async def test_one_request_takes_no_more_slots_than_it_may() -> None:
    model = Model()
    request = SummaryRequest("r", "m", tuple(map(str, range(20))), 20)
    await summarize(request, model.generate, max_running=3)
    assert len(model.asked) == 20
    assert model.most == 3
