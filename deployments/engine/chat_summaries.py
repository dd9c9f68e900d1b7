"""Summaries by a chat model, where no summarization model is configured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from deployments.seam.generation import ChatMessage, GenerationRequest, GenerationResult, Sampling
from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult

INSTRUCTION = "Summarize the following text in a few sentences:\n\n"
"""Stands in the user's message, before the text. In the system message, small models read it as a
text to correct; behind a long text, it would be cut off with the text's end."""


async def summarize(
    request: SummaryRequest,
    generate: Callable[[GenerationRequest], Awaitable[GenerationResult | Problem]],
    max_running: int,
) -> SummaryResult:
    """A summary of every text, by ``generate``; up to ``max_running`` decode at a time."""
    slots = asyncio.Semaphore(max_running)

    async def one(text: str) -> Summary | Problem:
        async with slots:
            answer = await generate(_as_chat(text, request))
        if isinstance(answer, Problem):
            return replace(answer, field=None)
        choice = answer.choices[0]
        return Summary(choice.text.strip(), answer.prompt_tokens, choice.tokens)

    return SummaryResult(tuple(await asyncio.gather(*map(one, request.texts))))


def _as_chat(text: str, request: SummaryRequest) -> GenerationRequest:
    return GenerationRequest(
        request_id=request.request_id,
        model=request.model,
        messages=(ChatMessage("user", INSTRUCTION + text),),
        max_new_tokens=request.max_new_tokens,
        min_new_tokens=request.min_new_tokens,
        sampling=Sampling(temperature=0.0),
        truncate=request.truncate,
    )
