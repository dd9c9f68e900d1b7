"""Joined calls over a real graph: Serve scales by requests, not by lists, and refuses by them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bench.streams import graph
from serve_app.ingress.routes.context import NATIVE_PREFIX
from tests.toy.holding import HOLD

PROFILE = Path(__file__).parents[1] / "toy" / "holding.yaml"
ROUTE = f"{NATIVE_PREFIX}/classify"
PATIENCE_S = 60
REPLICAS, MAX_ONGOING, MAX_QUEUED = 2, 8, 4


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with graph(profile=PROFILE).running() as server:
        yield f"http://127.0.0.1:{server.port}"


async def held(client: httpx.AsyncClient) -> dict[str, float]:
    """How many calls each replica holds; the replicas that answered within a few tries."""
    found = {}
    for _ in range(12):
        answer = await client.post(ROUTE, json={"texts": "who"})
        if answer.status_code == 200:
            found[answer.json()["sentiment"]] = answer.json()["confidence"]
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - it holds in another process
            await asyncio.sleep(0.1)


async def test_held_calls_are_seen_bounded_and_cancelled_one_by_one(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:

        def hold(number: int) -> list[asyncio.Task[httpx.Response]]:
            sent = [client.post(ROUTE, json={"texts": HOLD}) for _ in range(number)]
            return [asyncio.ensure_future(each) for each in sent]

        async def are_replicas() -> bool:
            return len(await held(client)) == REPLICAS

        async def are_held() -> bool:
            return sum((await held(client)).values()) == len(calls)

        # Fewer lists than one replica's target, but more calls: only calls make it scale.
        calls = hold(MAX_ONGOING - 1)
        await until(are_replicas)
        await until(are_held)
        calls.pop().cancel()
        await until(are_held)

        calls += hold(REPLICAS * MAX_ONGOING + MAX_QUEUED + 8)
        done, _ = await asyncio.wait(calls, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert {call.result().status_code for call in done} == {429}
        for call in calls:
            call.cancel()
        calls = []
        await until(are_held)
