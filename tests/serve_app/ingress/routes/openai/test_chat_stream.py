"""Streamed chats: chunks as OpenAI's clients put them together, and an end that always comes."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import RayError

from deployments.seam.generation import Token, TokenChunk
from deployments.seam.problems import Problem
from serve_app.ingress.routes.openai.sampling import chunk_opening, framed
from serve_app.ingress.streams import message
from tests.serve_app import house
from tests.serve_app.house import burst, events
from tests.serve_app.local_handle import FOREVER, Family, happens

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hi"}]
SECRET = "/home/inside/model.py line 7"


async def streamed(*items: Any, **body: Any) -> list[Any]:
    """The data of every event of a stream."""
    application = house.app({"generation": Family(list(items))})
    asked = {"messages": MESSAGES, "stream": True, **body}
    response = await house.post(application, PATH, asked)
    assert response.status_code == 200, response.text
    return [data for _, data in events(response.text)]


async def test_a_stream_opens_with_the_role_closes_with_the_reason_and_is_done() -> None:
    found = await streamed(burst("a"), burst("", "b", at=1, finish="length"))
    assert found[-1] == "[DONE]"
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in found[:-1]}) == 1
    assert {chunk["object"] for chunk in found[:-1]} == {"chat.completion.chunk"}
    assert not any("usage" in chunk for chunk in found[:-1])
    choices = [choice for chunk in found[:-1] for choice in chunk["choices"]]
    assert [(choice["delta"], choice["finish_reason"]) for choice in choices] == [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "a"}, None),
        ({"content": "b"}, None),
        ({}, "length"),
    ]


async def test_a_stream_reports_usage_once_at_its_end_when_asked() -> None:
    options = {"include_usage": True}
    found = await streamed(burst("a", "b", finish="stop"), stream_options=options)
    *chunks, last, done = found
    assert done == "[DONE]"
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert all(chunk["usage"] is None for chunk in chunks)


async def test_streamed_choices_each_open_and_close() -> None:
    mixed = TokenChunk(
        3, (Token(0, 0, 1, "a"), Token(1, 0, 2, "x", "stop"), Token(0, 1, 3, "b", "stop"))
    )
    found = await streamed(mixed, n=2)
    choices = [data["choices"][0] for data in found if data != "[DONE]"]
    for index, text in enumerate(("ab", "x")):
        own = [choice for choice in choices if choice["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(choice["delta"].get("content", "") for choice in own) == text
        assert [choice["finish_reason"] for choice in own if choice["finish_reason"]] == ["stop"]


@pytest.mark.parametrize("failure", [RayError(SECRET), Problem("internal", SECRET)])
async def test_a_stream_that_breaks_says_so_in_openais_envelope_and_is_done(failure: Any) -> None:
    found = await streamed(burst("a"), failure)
    assert found[-1] == "[DONE]"
    errors = [data["error"] for data in found[:-1] if "error" in data]
    assert [(error["type"], error["code"]) for error in errors] == [
        ("server_error", "internal_error")
    ]
    assert found[-2] == {"error": errors[0]}
    assert SECRET not in str(found)


async def test_a_client_that_leaves_stops_the_generation() -> None:
    family = Family([burst("a"), FOREVER])
    application = house.app({"generation": family})
    connection = house.Connection(application, PATH, {"messages": MESSAGES, "stream": True})
    await happens(connection.first_chunk)
    assert not family.stopped.is_set()
    connection.left.set()
    await happens(family.stopped)
    await connection.done


def test_a_chunk_is_framed_as_every_other_message() -> None:
    head = {"id": "chatcmpl-1", "created": 1, "model": "a/b", "object": "x", "usage": None}
    for choice in ({"index": 0, "delta": {"content": 'é"\n'}}, {}):
        assert framed(chunk_opening(head), choice) == message({**head, "choices": [choice]})
