"""Requests to the generation family, and what is read of its answers and streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from deployments.generation import Generation
from deployments.seam.generation import GenerationRequest, TokenChunk
from deployments.seam.problems import Problem
from tests.deployments.puppet_engine import PATIENCE_S

Stream = AsyncGenerator[TokenChunk | Problem, None]


def request(**fields: Any) -> GenerationRequest:
    given = {"prompt": "Once"} | fields
    return GenerationRequest("request", "tiny", **given)


async def following(stream: Stream) -> TokenChunk | Problem:
    return await asyncio.wait_for(anext(stream), PATIENCE_S)


async def burst(stream: Stream) -> str:
    item = await following(stream)
    assert isinstance(item, TokenChunk)
    return "".join(token.text for token in item.tokens)


async def problem_of(family: Generation, **fields: Any) -> Problem:
    """The same problem, whole and streamed."""
    whole = await asyncio.wait_for(family.generate(request(**fields)), PATIENCE_S)
    stream = family.stream(request(**fields))
    assert await following(stream) == whole
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert isinstance(whole, Problem)
    return whole
