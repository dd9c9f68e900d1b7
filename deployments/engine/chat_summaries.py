"""Summaries by a chat model that is asked for them, where no summarization model is configured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from deployments.seam.generation import ChatMessage, GenerationRequest, GenerationResult, Sampling
from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult

INSTRUCTION = "Summarize the following text in a few sentences:\n\n"
"""In the user's turn, before the text: small models mistake an instruction in the system's turn for
one to proofread, and whatever is cut off a long text must not be the instruction."""


async def summarize(
    request: SummaryRequest,
    generate: Callable[[GenerationRequest], Awaitable[GenerationResult | Problem]],
    at_once: int,
) -> SummaryResult:
    """A summary of every text, ``at_once`` of them decoding together."""
    places = asyncio.Semaphore(at_once)

    async def one(text: str) -> Summary | Problem:
        async with places:
            answer = await generate(_asking(text, request))
        if isinstance(answer, Problem):
            return replace(answer, field=None)
        choice = answer.choices[0]
        return Summary(choice.text.strip(), answer.prompt_tokens, choice.tokens)

    return SummaryResult(tuple(await asyncio.gather(*map(one, request.texts))))


def _asking(text: str, request: SummaryRequest) -> GenerationRequest:
    return GenerationRequest(
        request_id=request.request_id,
        model=request.model,
        messages=(ChatMessage("user", INSTRUCTION + text),),
        max_new_tokens=request.max_new_tokens,
        min_new_tokens=request.min_new_tokens,
        sampling=Sampling(temperature=0.0),
        truncate=request.truncate,
    )
