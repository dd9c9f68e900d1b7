"""Conversations on the running graph: kept across replicas, in order, separate for each key."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Graph, wait_until
from tests.e2e.test_generation import events

NATIVE = "/api/v1/huggingface"
CONVERSATIONS = f"{NATIVE}/conversations"


@pytest.fixture
def talk(base_url: str) -> Any:
    """A client with its own key, and so without conversations."""
    headers = {"authorization": f"Bearer {secrets.token_hex(8)}"}
    with httpx.Client(base_url=base_url, timeout=120, headers=headers) as client:
        yield client


def say(talk: httpx.Client, message: str, user: str = "ada") -> dict[str, Any]:
    response = talk.post(f"{CONVERSATIONS}/{user}/messages", json={"message": message})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def history(talk: httpx.Client, user: str = "ada") -> list[dict[str, str]]:
    response = talk.get(f"{CONVERSATIONS}/{user}")
    assert response.status_code == 200, response.text
    found: list[dict[str, str]] = response.json()["history"]
    return found


def test_a_conversation_from_its_greeting_to_its_end(talk: httpx.Client) -> None:
    greeting = talk.post(CONVERSATIONS, json={"user_id": "ada"}).json()
    assert greeting["response"] == "Hello! How can I help you today?"
    first = say(talk, "What is the capital of France?")
    assert first["response"]
    assert first["usage"]["completion_tokens"] > 0
    second = say(talk, "Name another one.")
    assert second["usage"]["prompt_tokens"] > first["usage"]["total_tokens"]
    assert history(talk) == [
        {"user": "What is the capital of France?", "assistant": first["response"]},
        {"user": "Name another one.", "assistant": second["response"]},
    ]
    deleted = talk.delete(f"{CONVERSATIONS}/ada")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert history(talk) == []


def test_a_streamed_answer_is_kept_as_it_was_streamed(talk: httpx.Client) -> None:
    body = {"message": "Say hello.", "stream": True}
    with talk.stream("POST", f"{CONVERSATIONS}/ada/messages", json=body) as response:
        *tokens, (last, result) = list(events(response))
    assert last == "result"
    assert {name for name, _ in tokens} == {"token"}
    assert "".join(data["text_delta"] for _, data in tokens).strip() == result["response"]
    assert len(tokens) == result["usage"]["completion_tokens"]
    assert history(talk) == [{"user": "Say hello.", "assistant": result["response"]}]


def test_concurrent_messages_are_all_kept_one_after_the_other(talk: httpx.Client) -> None:
    """Each prompt contains the turns before it, so the token counts show the order."""
    messages = [f"Say the number {number}." for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda message: say(talk, message), messages))
    kept = history(talk)
    assert {turn["user"] for turn in kept} == set(messages)
    by_message = dict(zip(messages, answers, strict=True))
    assert [turn["assistant"] for turn in kept] == [
        by_message[turn["user"]]["response"] for turn in kept
    ]
    sizes = [by_message[turn["user"]]["usage"]["prompt_tokens"] for turn in kept]
    assert sizes == sorted(set(sizes))


def test_a_client_that_leaves_its_stream_leaves_no_turn(talk: httpx.Client) -> None:
    body = {"message": "Tell me a very long story.", "stream": True}
    with talk.stream("POST", f"{CONVERSATIONS}/ada/messages", json=body) as response:
        next(events(response))
    answer = say(talk, "Hello")
    assert history(talk) == [{"user": "Hello", "assistant": answer["response"]}]


def test_an_answer_of_a_killed_replica_is_not_kept_and_blocks_no_later_message(
    talk: httpx.Client, graph: Graph
) -> None:
    if graph.launcher is None:
        pytest.skip("a graph that this session did not start is not to be killed in part")
    body = {"message": "Tell me a very long story.", "stream": True}
    with talk.stream("POST", f"{CONVERSATIONS}/ada/messages", json=body) as response:
        next(events(response))
        graph.replica("Ingress").kill()
    wait_until(lambda: talk.get("/health/liveness").status_code == 200)
    answer = say(talk, "Hello")
    assert history(talk) == [{"user": "Hello", "assistant": answer["response"]}]


def test_users_are_listed_in_pages_and_only_those_of_the_key(talk: httpx.Client) -> None:
    for name in ("c", "a%2Fb", "b"):
        say(talk, "Hi", name)
    first = talk.get(CONVERSATIONS, params={"limit": 2}).json()
    assert first["user_ids"] == ["a/b", "b"]
    rest = talk.get(CONVERSATIONS, params={"cursor": first["next_cursor"]}).json()
    assert (rest["user_ids"], rest["next_cursor"]) == (["c"], None)
    stranger = {"authorization": "", "x-api-key": secrets.token_hex(8)}
    assert talk.get(CONVERSATIONS, headers=stranger).json()["user_ids"] == []
    assert talk.get(f"{CONVERSATIONS}/b", headers=stranger).json()["history"] == []
    assert talk.get(CONVERSATIONS, params={"cursor": "x"}).status_code == 400
