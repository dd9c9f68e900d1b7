"""What streams of every surface have in common: their frame, and how they begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from deployments.seam.generation import Token, TokenChunk, TokenLogprob
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelStatus
from serve_app.ingress.streams import HEARTBEAT
from tests.deployments.metrics.reading import figures
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE, Connection
from tests.serve_app.local_handle import FOREVER, PATIENCE_S, Family, happens

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
TEXTS: dict[str, dict[str, Any]] = {
    f"{NATIVE}/generate": {"prompt": "Hi", "stream": True},
    f"{NATIVE}/generate/stream": {"prompt": "Hi"},
    f"{NATIVE}/conversations/ada/messages": {"message": "Hi", "stream": True},
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"prompt": "Hi", "stream": True},
    f"/models/{FULL}": {"inputs": "Hi", "stream": True},
    f"/models/{FULL}/v1/chat/completions": CHAT,
    f"/models/{FULL}/generate_stream": {"inputs": "Hi"},
    "/v1/messages": CHAT | {"max_tokens": 9},
    "/v1/responses": {"input": "Hi", "stream": True},
}
"""Every stream of text."""
LOAD = f"{NATIVE}/models/{FULL}"
STREAMS = {**TEXTS, LOAD: {}}
LOADED = [ModelStatus(name, "warm") for name in (FULL, FAST)]
UNNAMED = {
    f"/models/{FULL}": "error",
    f"/models/{FULL}/generate_stream": "error",
    "/v1/messages": "overloaded_error",
}
"""What the error event of an API has in the place of our name for the error."""

every_text = pytest.mark.parametrize("path", TEXTS)
every_stream = pytest.mark.parametrize("path", STREAMS)

SEPARATED = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei\nj\rk"


class Gated(Family):
    """A family whose answers wait until the test lets them go."""

    def __init__(self, *answers: Any) -> None:
        super().__init__(*answers)
        self.gate = asyncio.Event()

    async def _given(self, answer: Any) -> Any:
        self.began.set()
        await happens(self.gate)
        return await super()._given(answer)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Any]:
    async with aclosing(_Apps(tmp_path)) as apps:
        yield apps


class _Apps:
    """Applications over a family; the databases of their conversations are closed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[FastAPI] = []

    def __call__(self, family: Family, **settings: Any) -> FastAPI:
        made = house.app({"generation": family}, hf_cache_dir=str(self._folder), **settings)
        self._made.append(made)
        return made

    async def aclose(self) -> None:
        for each in self._made:
            await each.state.conversations.close()


def spoken(text: str) -> TokenChunk:
    logprob = TokenLogprob(text, -0.1, text.encode())
    return TokenChunk(3, (Token(0, 0, 100, text, "stop", logprob),))


def connected(application: FastAPI, path: str) -> Connection:
    return Connection(application, path, STREAMS[path], accept="text/event-stream")


def text_of(stream: str) -> str:
    """The text that the data of a stream's events spell, whatever surface it is of."""
    found = ""
    for name, data in house.events(stream):
        match name, data:
            case "token", {"text_delta": delta}:
                found += delta
            case "content_block_delta", {"delta": {"text": delta}}:
                found += delta
            case "response.output_text.delta", {"delta": delta}:
                found += delta
            case "", {"choices": [{"delta": {"content": str(delta)}}]}:
                found += delta
            case "", {"choices": [{"text": delta}]} | {"token": {"text": delta}}:
                found += delta
    return found


@every_text
async def test_an_event_is_one_line_of_data_by_any_readers_rule(opened: _Apps, path: str) -> None:
    application = opened(Family([spoken(SEPARATED)]))
    response = await house.post(application, path, TEXTS[path])
    assert response.status_code == 200, response.text
    assert response.text.splitlines() == response.text.removesuffix("\n").split("\n")
    assert text_of(response.text) == SEPARATED


@every_text
async def test_a_failure_before_the_first_token_has_a_status(opened: _Apps, path: str) -> None:
    application = opened(Family([Problem("overloaded", "too many wait")]))
    response = await house.post(application, path, TEXTS[path])
    assert response.status_code == 429, response.text
    assert "retry-after" in response.headers


@every_stream
async def test_a_stream_that_has_to_wait_begins_with_a_comment_and_can_be_left(
    opened: _Apps, path: str
) -> None:
    waiting = [FOREVER] if path in TEXTS else FOREVER
    family = Family(waiting)
    family.holdings = LOADED if path in TEXTS else []
    connection = connected(opened(family, heartbeat_s=0.01), path)
    await happens(connection.first_chunk)
    assert connection.chunks[0] == HEARTBEAT
    assert connection.status == 200
    await happens(family.began)
    connection.left.set()
    await happens(family.stopped)
    await asyncio.wait_for(connection.done, PATIENCE_S)
    assert set(connection.chunks) == {HEARTBEAT}


@every_stream
async def test_a_failure_behind_the_comment_is_an_event_and_counted_as_an_error(
    opened: _Apps, path: str
) -> None:
    problem = Problem("unavailable", "no memory is left")
    family = Gated([problem] if path in TEXTS else problem)
    family.holdings = LOADED if path in TEXTS else []
    application = opened(family, heartbeat_s=0.01)
    connection = connected(application, path)
    await happens(connection.first_chunk)
    family.gate.set()
    await asyncio.wait_for(connection.done, PATIENCE_S)
    assert connection.chunks[0] == HEARTBEAT
    told = [data for _, data in house.events(b"".join(connection.chunks).decode())]
    assert "no memory is left" in str(told[0])
    assert UNNAMED.get(path, "service_unavailable") in str(told[0])
    if path == LOAD:
        return
    counted = figures((await house.get(application, "/metrics")).text)
    (request,) = [key for key in counted if key[0] == "requests_total"]
    assert request[-1] == "error"
    assert [key for key in counted if key[0] == "rejections_total"]


@every_text
@pytest.mark.parametrize(
    ("progress", "comment"), [(0.4, b": loading 40 %\n\n"), (None, b": loading\n\n")]
)
async def test_a_stream_shows_how_far_its_model_is_loaded(
    opened: _Apps, path: str, progress: float | None, comment: bytes
) -> None:
    family = Gated([spoken("Hello")])
    family.holdings = [ModelStatus(name, "loading", progress=progress) for name in (FULL, FAST)]
    connection = connected(opened(family, heartbeat_s=0.01), path)
    await happens(connection.first_chunk)
    family.gate.set()
    await asyncio.wait_for(connection.done, PATIENCE_S)
    assert connection.status == 200
    assert connection.chunks[0] == comment
    assert text_of(b"".join(connection.chunks).decode()) == "Hello"


async def test_a_stream_shows_that_its_model_loads_in_a_family_that_has_to_wake_up(
    opened: _Apps,
) -> None:
    family = Gated([spoken("Hello")])
    application = opened(family, heartbeat_s=0.01)
    connection = connected(application, "/v1/chat/completions")
    await happens(connection.first_chunk)
    family.gate.set()
    await asyncio.wait_for(connection.done, PATIENCE_S)
    assert connection.chunks[0] == b": loading\n\n"


@every_text
async def test_the_text_goes_on_behind_the_comment(opened: _Apps, path: str) -> None:
    family = Gated([spoken("Hello")])
    family.holdings = LOADED
    connection = connected(opened(family, heartbeat_s=0.01), path)
    await happens(connection.first_chunk)
    family.gate.set()
    await asyncio.wait_for(connection.done, PATIENCE_S)
    assert connection.chunks[0] == HEARTBEAT
    assert text_of(b"".join(connection.chunks).decode()) == "Hello"


async def test_a_message_that_waits_for_another_one_begins_too_and_leaves_the_line_when_left(
    opened: _Apps,
) -> None:
    path = f"{NATIVE}/conversations/ada/messages"
    family = Gated([spoken("One")], [spoken("Three")])
    family.holdings = LOADED
    application = opened(family, heartbeat_s=0.01)
    first = connected(application, path)
    await happens(family.began)
    second = connected(application, path)
    await happens(second.first_chunk)
    assert second.chunks[0] == HEARTBEAT
    second.left.set()
    await asyncio.wait_for(second.done, PATIENCE_S)
    family.gate.set()
    await asyncio.wait_for(first.done, PATIENCE_S)
    third = await house.post(application, path, TEXTS[path])
    assert text_of(third.text) == "Three"
    assert len(family.asked) == 2


async def test_a_message_that_waited_too_long_is_told_so_in_its_stream(opened: _Apps) -> None:
    path = f"{NATIVE}/conversations/ada/messages"
    family = Family([FOREVER])
    application = opened(family, heartbeat_s=0.01, conversation_wait_s=0.1)
    first = connected(application, path)
    await happens(family.began)
    second = await house.post(application, path, TEXTS[path])
    assert second.status_code == 200
    ((name, data),) = house.events(second.text)
    assert (name, data["code"]) == ("error", "rate_limit_error")
    first.left.set()
    await asyncio.wait_for(first.done, PATIENCE_S)


@pytest.mark.parametrize("path", [*TEXTS])
async def test_a_caller_that_is_cancelled_before_there_is_anything_stops_what_waits(
    opened: _Apps, path: str
) -> None:
    """As Serve does it when the client has left."""
    family = Family([FOREVER])
    connection = connected(opened(family), path)
    await happens(family.began)
    connection.done.cancel()
    await happens(family.stopped)
    assert connection.chunks == []
