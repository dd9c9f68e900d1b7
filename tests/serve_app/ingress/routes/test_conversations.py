"""Conversations over HTTP: what the model is shown of them, what is kept, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deployments.seam.generation import ChatMessage, GeneratedSequence, GenerationResult
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE, burst, generated
from tests.serve_app.ingress.routes.conversing import ADA, Opened, clients, history, say, turn
from tests.serve_app.local_handle import FOREVER, Family, happens

GREETING = "Hello! How can I help you today?"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    """Makes clients of the application over a family, all with the same database."""
    async with clients(tmp_path) as client:
        yield client


async def test_a_conversation_begins_with_a_greeting_that_is_not_history(opened: Opened) -> None:
    family = Family()
    client = opened(family)
    body = (await client.post("/conversations", json={"user_id": "ada"})).json()
    assert (body["user_id"], body["response"], body["model"]) == ("ada", GREETING, FAST)
    assert await history(client) == []
    assert (await client.get("/conversations")).json()["user_ids"] == ["ada"]
    assert family.asked == []


async def test_an_answer_is_whole_and_kept_as_it_was_given(opened: Opened) -> None:
    client = opened(
        Family(GenerationResult(7, (GeneratedSequence(" Hello, Ada.\n", "length", 4),)))
    )
    body = await say(client, "I am Ada.")
    assert body.pop("execution_time") >= 0
    assert body.pop("request_id")
    assert body == {
        "user_id": "ada",
        "response": "Hello, Ada.",
        "model": FAST,
        "finish_reason": "length",
        "usage": {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11},
    }
    assert await history(client) == [turn("I am Ada.", "Hello, Ada.")]


async def test_the_model_is_shown_what_was_said_before(opened: Opened) -> None:
    family = Family(generated("Yo"), generated("You"))
    client = opened(family, answer_max_new_tokens=33, temperature=0.3)
    await client.post("/conversations", json={"user_id": "ada", "initial_message": "Hi"})
    await say(client, "Who?")
    first, second = family.asked
    assert first.messages == (ChatMessage("user", "Hi"),)
    assert second.messages == (
        ChatMessage("user", "Hi"),
        ChatMessage("assistant", "Yo"),
        ChatMessage("user", "Who?"),
    )
    assert (second.trim_oldest, second.max_new_tokens) == (True, 33)
    assert second.sampling.temperature == 0.3


async def test_half_of_a_small_window_is_left_to_the_message(opened: Opened) -> None:
    family = Family(generated("Yo"))
    await say(opened(family, answer_max_new_tokens=10_000))
    assert family.asked[0].max_new_tokens == house.WINDOW // 2


async def test_a_stream_ends_with_what_the_unary_route_would_have_answered(opened: Opened) -> None:
    client = opened(Family([burst(" Yo", " Ada"), burst(".", at=2, finish="stop")]))
    *tokens, (last, body) = await say(client, "Hi", stream=True)
    assert [name for name, _ in tokens] == ["token"] * 3
    assert [data["sequence_index"] for _, data in tokens] == [0, 1, 2]
    assert "".join(data["text_delta"] for _, data in tokens) == " Yo Ada."
    assert last == "result"
    assert set(body) == {
        *("user_id", "response", "model", "finish_reason", "usage"),
        *("request_id", "execution_time"),
    }
    assert (body["user_id"], body["response"], body["finish_reason"]) == ("ada", "Yo Ada.", "stop")
    assert body["usage"]["completion_tokens"] == 3
    assert await history(client) == [turn("Hi", "Yo Ada.")]


async def test_a_failed_answer_is_not_kept_and_frees_the_conversation(opened: Opened) -> None:
    refusal = Problem("validation", "the prompt has too many tokens", "prompt")
    client = opened(Family(refusal, [refusal], generated("Yo")))
    for stream in (False, True):
        body = {"message": "Hi", "stream": stream}
        response = await client.post(f"{ADA}/messages", json=body)
        assert response.status_code == 400
        assert response.json()["details"]["field_errors"] == {"message": refusal.message}
    await say(client, "Again")
    assert await history(client) == [turn("Again", "Yo")]


async def test_a_stream_that_breaks_keeps_nothing(opened: Opened) -> None:
    broken = [burst("Yo"), Problem("unavailable", "the model is restarting")]
    client = opened(Family(broken, generated("Yo")))
    *_, (last, data) = await say(client, "Hi", stream=True)
    assert (last, data["code"]) == ("error", "service_unavailable")
    await say(client, "Again")
    assert await history(client) == [turn("Again", "Yo")]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_was_cut_off_is_not_kept(opened: Opened, stream: bool) -> None:
    answer: Any = (
        [burst("Yo", finish="cancelled")] if stream else generated("Yo", finish="cancelled")
    )
    client = opened(Family(answer))
    response = await client.post(f"{ADA}/messages", json={"message": "Hi", "stream": stream})
    assert "cut off" in response.text
    assert response.status_code == (200 if stream else 503)
    assert await history(client) == []


async def test_a_client_that_leaves_stops_the_answer_and_nothing_is_kept(
    opened: Opened,
) -> None:
    family = Family([burst("Yo"), FOREVER], generated("Yo"))
    client = opened(family)
    body = {"message": "Hi", "stream": True}
    connection = house.Connection(client.app, f"{NATIVE}{ADA}/messages", body)
    await happens(connection.first_chunk)
    connection.left.set()
    await happens(family.stopped)
    await connection.done
    await say(client, "Again")
    assert await history(client) == [turn("Again", "Yo")]


async def test_messages_of_one_user_are_answered_one_after_the_other(opened: Opened) -> None:
    family = Family([burst("One"), FOREVER], generated("Two"), generated("Three"))
    client = opened(family)
    body = {"message": "First", "stream": True}
    first = house.Connection(client.app, f"{NATIVE}{ADA}/messages", body)
    await happens(first.first_chunk)
    second = asyncio.ensure_future(say(client, "Second"))
    assert (await say(client, user="bob"))["response"] == "Two"
    assert not second.done()
    assert len(family.asked) == 2
    first.left.set()
    assert (await second)["response"] == "Three"
    await first.done


async def test_whoever_waits_too_long_gets_a_429(opened: Opened) -> None:
    client = opened(Family([burst("One"), FOREVER]), conversation_wait_s=0.01)
    body = {"message": "First", "stream": True}
    first = house.Connection(client.app, f"{NATIVE}{ADA}/messages", body)
    await happens(first.first_chunk)
    response = await client.post(f"{ADA}/messages", json={"message": "Second"})
    assert response.status_code == 429
    assert response.json()["error_type"] == "rate_limit_error"
    assert int(response.headers["retry-after"]) > 0
    first.left.set()
    await first.done


async def test_an_answer_to_a_conversation_deleted_meanwhile_is_not_kept(opened: Opened) -> None:
    class Deleting(Family):
        async def generate(self, request: Any) -> Any:
            await client.delete(ADA)
            return generated("Yo")

    client = opened(Deleting())
    response = await client.post(f"{ADA}/messages", json={"message": "Hi"})
    assert response.status_code == 503
    assert "deleted" in response.json()["message"]
    assert await history(client) == []


async def test_beginning_anew_replaces_what_was_said_once_it_is_answered(opened: Opened) -> None:
    refusal = Problem("unavailable", "the model is restarting")
    client = opened(Family(generated("Yo"), refusal, generated("New")))
    await say(client, "Old")
    body = {"user_id": "ada", "initial_message": "Hello"}
    assert (await client.post("/conversations", json=body)).status_code == 503
    assert await history(client) == [turn("Old", "Yo")]
    assert (await client.post("/conversations", json=body)).json()["response"] == "New"
    assert await history(client) == [turn("Hello", "New")]
    await client.post("/conversations", json={"user_id": "ada"})
    assert await history(client) == []


@pytest.mark.parametrize("message", [None, "Hello"])
async def test_a_conversation_goes_on_with_the_model_it_was_begun_with(
    opened: Opened, message: str | None
) -> None:
    client = opened(Family(*[generated("Yo")] * 5))
    body = {"user_id": "ada", "model_name": FULL}
    body |= {"initial_message": message} if message else {}
    assert (await client.post("/conversations", json=body)).json()["model"] == FULL
    assert (await say(client))["model"] == FULL
    assert (await say(client, model_name="fast"))["model"] == FAST
    assert (await say(client))["model"] == FULL
    assert (await say(client, user="bob"))["model"] == FAST


async def test_deleting_is_a_204_as_often_as_one_likes(opened: Opened) -> None:
    client = opened(Family(generated("Yo")))
    await say(client)
    for _ in range(2):
        response = await client.delete(ADA)
        assert (response.status_code, response.content) == (204, b"")
        assert await history(client) == []
