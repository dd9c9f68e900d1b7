"""Affinity keys: one for all turns of a chat, of a session, of a prompt's beginning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deployments.seam.decisions import DecisionQuestion, DecisionRequest
from deployments.seam.embeddings import EmbeddingRequest
from deployments.seam.generation import ChatMessage, GenerationRequest
from serve_app.ingress.cluster.affinity_key import MAX_CHARACTERS, MAX_TOKENS, affinity_key

RULES = ChatMessage("system", "Answer in one word. " * 200)
HELLO = ChatMessage("user", "What is red?")
ANSWER = ChatMessage("assistant", "A colour.")
MORE = ChatMessage("user", "And blue?")


def request(**given: object) -> GenerationRequest:
    return replace(GenerationRequest("id-1", "house/fast"), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [(), (RULES,)])
def test_the_next_turn_of_a_chat_has_the_key_of_the_first(before: tuple[ChatMessage, ...]) -> None:
    first = request(messages=(*before, HELLO))
    second = request(messages=(*before, HELLO, ANSWER, MORE))
    assert affinity_key(first) == affinity_key(second)


def test_two_chats_with_one_system_prompt_have_two_keys() -> None:
    keys = {affinity_key(request(messages=(RULES, each))) for each in (HELLO, MORE)}
    assert len(keys) == 2


def test_chats_with_different_system_prompts_have_different_keys() -> None:
    assert affinity_key(request(messages=(RULES, HELLO))) != affinity_key(
        request(messages=(HELLO,))
    )


def test_the_session_comes_before_the_prompt() -> None:
    keys = {affinity_key(request(prompt=text, session="ada:s-1")) for text in ("a", "b")}
    assert len(keys) == 1
    assert keys != {affinity_key(request(prompt="a", session="ada:s-2"))}


def test_prompts_that_begin_alike_have_one_key() -> None:
    beginning = "x" * MAX_CHARACTERS
    assert affinity_key(request(prompt=beginning + "a")) == affinity_key(
        request(prompt=beginning + "b")
    )
    assert affinity_key(request(prompt="a")) != affinity_key(request(prompt="b"))


def test_prompts_of_tokens_that_begin_alike_have_one_key() -> None:
    beginning = tuple(range(MAX_TOKENS))
    assert affinity_key(request(prompt_ids=(*beginning, 1))) == affinity_key(
        request(prompt_ids=(*beginning, 2))
    )
    assert affinity_key(request(prompt_ids=(1,))) != affinity_key(request(prompt_ids=(2,)))


def test_a_stream_that_is_resumed_keeps_its_key() -> None:
    begun = request(prompt="Hi")
    assert affinity_key(replace(begun, delivered=((1, 2),))) == affinity_key(begun)


def test_half_a_surrogate_pair_has_a_key() -> None:
    assert affinity_key(request(prompt="\ud800")) is not None


@pytest.mark.parametrize("other", [None, "text", EmbeddingRequest("house/small", ("a",))])
def test_other_requests_have_none(other: object) -> None:
    assert affinity_key(other) is None


def test_decisions_about_one_state_have_one_key() -> None:
    first = DecisionRequest("id-1", "house/fast", {"mail": "Hello"}, ())
    question = DecisionQuestion("a", "noul", None, {"true": None, "false": None})
    assert affinity_key(first) == affinity_key(replace(first, questions=(question,)))
    assert affinity_key(first) != affinity_key(replace(first, state={"mail": "Bye"}))
    assert affinity_key(replace(first, session="ada")) == affinity_key(
        replace(first, state="", session="ada")
    )
