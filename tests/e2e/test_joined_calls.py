"""Requests at the same time: they may travel together, and each has its own answer."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from serve_app.ingress.routes.context import NATIVE_PREFIX
from tests.e2e.conftest import VECTOR_ROUNDING

CLIENTS = 24


async def test_each_of_many_requests_has_its_own_vector_or_error(base_url: str) -> None:
    texts = [f"{'word ' * number}of request {number}" for number in range(CLIENTS)]
    async with httpx.AsyncClient(base_url=base_url, timeout=120) as client:

        async def embed(text: str) -> httpx.Response:
            return await client.post(f"{NATIVE_PREFIX}/embeddings", json={"texts": text})

        alone = [(await embed(text)).json()["embeddings"] for text in texts]
        together = await asyncio.gather(*map(embed, [*texts, "word " * 5000]))
    assert [answer.status_code for answer in together] == [200] * CLIENTS + [400]
    for answer, vector in zip(together, alone, strict=False):
        tolerance = max(VECTOR_ROUNDING, 1e-4)
        assert answer.json()["embeddings"] == pytest.approx(vector, abs=tolerance)


async def test_a_client_that_leaves_takes_no_answer_from_the_others(base_url: str) -> None:
    async with httpx.AsyncClient(base_url=base_url, timeout=120) as client:

        def embed(number: int) -> asyncio.Task[httpx.Response]:
            body = {"texts": [f"text {number} of {place}" for place in range(8)]}
            return asyncio.ensure_future(client.post(f"{NATIVE_PREFIX}/embeddings", json=body))

        asked = [embed(number) for number in range(CLIENTS)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        for leaving in asked[::2]:
            leaving.cancel()
        stayed = await asyncio.gather(*asked[1::2])
    assert [answer.status_code for answer in stayed] == [200] * (CLIENTS // 2)
