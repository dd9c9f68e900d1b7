"""No request keeps the event loop of the ingress: whatever a body holds, others are answered.

What is measured is the processor time of the loop's thread between two turns of the loop, which
other processes on the machine do not lengthen. A field that several bodies have is filled in one of
them here. ``tests/long/test_stalls.py`` puts what is wrong in all of them over HTTP, also where an
object or a text belongs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest
from fastapi import FastAPI

from serve_app.ingress.validation.bounded_json import MAX_VALUES
from tests.serve_app.bodies import MIB, Place, distinct, legal, oddities, places, wrong
from tests.serve_app.embedded import application, routers
from tests.serve_app.house import NATIVE
from tests.serve_app.json_post import json_post

MAX_STALL_S = 0.25
TRIES = 3
MAX_ANSWER = 64 * 1024


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    async with application(tmp_path) as made:
        yield made


@pytest.fixture
def every_place(app: FastAPI) -> list[Place]:
    found = distinct(places(app.openapi(), routers(), app.state.services.catalog))
    assert {place.kind for place in found} >= {"array", "object", "string"}
    assert len(found) > 200
    return found


async def stalled(app: FastAPI, route: str, body: bytes) -> tuple[float, int, bytes]:
    """The longest turn of the loop in seconds of its own time; and the answer."""
    request = asyncio.ensure_future(json_post(app, route, body))
    longest, before = 0.0, time.thread_time()
    while not request.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    return (longest, *request.result())


async def faults(
    app: FastAPI, found: Iterable[Place], fill: Callable[[Place], Iterable[bytes]]
) -> list[str]:
    """What stalled the loop, broke, or was answered at too great a length."""
    at_fault: list[str] = []
    for place in found:
        for content in fill(place):
            at_fault += await fault(app, f"{place.name}", place.route, place.filled(content))
    return at_fault


async def fault(app: FastAPI, name: str, route: str, body: bytes) -> list[str]:
    assert len(body) <= 10 * 1024 * 1024
    for _ in range(TRIES):
        longest, status, answer = await stalled(app, route, body)
        if longest < MAX_STALL_S:
            break
    if longest < MAX_STALL_S and status in (200, 400, 404, 413, 429) and len(answer) < MAX_ANSWER:
        return []
    return [f"{route} {name} {body[:40]!r}: {longest:.3f} s, {status}, {len(answer)} bytes"]


async def test_wrong_items_in_every_list(app: FastAPI, every_place: list[Place]) -> None:
    found = [place for place in every_place if place.kind == "array"]
    assert await faults(app, found, wrong) == []


async def test_the_largest_bodies_that_are_taken(app: FastAPI, every_place: list[Place]) -> None:
    found = [place for place in every_place if place.kind in ("array", "string")]
    assert await faults(app, found, legal) == []


@pytest.mark.parametrize(
    "route",
    ["/v1/embeddings", "/v1/chat/completions", f"{NATIVE}/graph", "/models/{model}", "/mcp"],
)
async def test_what_takes_a_parser_long(app: FastAPI, route: str) -> None:
    path = route.replace("{model}", app.state.services.catalog.cards[0].name)
    found = [await fault(app, "body", path, body) for body in oddities()]
    assert found == [[]] * len(found)


async def test_what_takes_mcps_own_validation_long(app: FastAPI) -> None:
    many = MAX_VALUES - 500
    params = {
        "tools/call": [
            b'"name":"search","arguments":{"query_text":"a","candidate_texts":[%s""]}'
            % (b"[]," * many),
            b'"name":"search","arguments":[%s1]' % (b"[]," * many),
            b'"name":"generate","arguments":{"prompt":"%s"}' % (rb"a, \u0416" * MIB),
            b'"name":"%s"' % (b"a" * 9 * MIB),
            b'"name":"search","arguments":{},"_meta":{"a":[%s1]}' % (b"[]," * many),
        ],
        "initialize": [
            b'"clientInfo":{"icons":[%s1]}' % (b"[]," * count) for count in (8000, many)
        ],
        "prompts/get": [b'"name":"a","arguments":{%s"a":1}' % (b'"a":1,' * (many // 2))],
        "no/such": [b'"a":[%s1]' % (b"1.5," * many)],
    }
    for method, all_params in params.items():
        head = b'{"jsonrpc":"2.0","id":1,"method":"%s","params":{' % method.encode()
        bodies = [head + each + b"}}" for each in all_params]
        found = [await fault(app, method, "/mcp", body) for body in bodies]
        assert found == [[]] * len(found)
