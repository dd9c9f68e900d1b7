"""Text generation over HTTP: whole, streamed, seeded, stopped and cancelled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

NATIVE = "/api/v1/huggingface"
TORCH = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
ENGINES = ["HuggingFaceTB/SmolLM2-135M-Instruct", TORCH]


def generate(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = client.post(f"{NATIVE}/generate", json=fields)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def events(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parse server-sent events as a browser does; comments are skipped."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def streamed(client: httpx.Client, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    with client.stream("POST", f"{NATIVE}/generate/stream", json=fields) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        return list(events(response))


@pytest.mark.parametrize("model", ENGINES)
def test_a_prompt_is_continued(client: httpx.Client, model: str) -> None:
    body = generate(
        client,
        prompt="The capital of France is",
        model_name=model,
        max_new_tokens=8,
        do_sample=False,
    )
    assert "Paris" in body["generated_text"]
    assert body["generated_text"] == body["generated_text"].strip()
    assert body["model"] == model
    assert body["finish_reason"] in {"stop", "length"}
    assert body["usage"]["completion_tokens"] <= 8
    assert body["usage"]["total_tokens"] == sum(
        body["usage"][key] for key in ("prompt_tokens", "completion_tokens")
    )
    assert body["request_id"]
    assert body["execution_time"] > 0


def test_the_finish_reason_tells_length_from_stop(client: httpx.Client) -> None:
    cut = generate(client, prompt="Count: one, two,", max_new_tokens=3, do_sample=False)
    assert cut["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 3
    whole = generate(
        client, prompt="Count: one, two, three,", max_new_tokens=40, do_sample=False, stop=[","]
    )
    assert whole["finish_reason"] == "stop"
    assert "," not in whole["generated_text"]


def test_max_length_counts_the_prompt(client: httpx.Client) -> None:
    body = generate(client, prompt="one two three four", max_length=10, seed=1)
    assert body["usage"]["total_tokens"] <= 10
    response = client.post(
        f"{NATIVE}/generate", json={"prompt": "one two three four five six", "max_length": 3}
    )
    assert response.status_code == 400
    assert "max_length" in response.json()["details"]["field_errors"]


@pytest.mark.parametrize("model", ENGINES)
def test_the_same_seed_gives_the_same_text_and_another_seed_another_text(
    client: httpx.Client, model: str
) -> None:
    asked = {"prompt": "Once upon a time", "model_name": model, "max_new_tokens": 24}
    first = generate(client, **asked, seed=5)["generated_text"]
    assert generate(client, **asked, seed=5)["generated_text"] == first
    assert generate(client, **asked, seed=6)["generated_text"] != first


def test_several_sequences_differ(client: httpx.Client) -> None:
    body = generate(
        client, prompt="My favourite animal is", num_return_sequences=3, max_new_tokens=12, seed=3
    )
    assert len(body["generated_texts"]) == 3
    assert body["generated_text"] == body["generated_texts"][0]
    assert len(set(body["generated_texts"])) > 1


def test_temperature_zero_is_greedy(client: httpx.Client) -> None:
    asked = {"prompt": "The sky is", "max_new_tokens": 12}
    greedy = generate(client, **asked, do_sample=False)["generated_text"]
    assert generate(client, **asked, temperature=0, seed=9)["generated_text"] == greedy
    assert generate(client, **asked, top_k=1, seed=10)["generated_text"] == greedy


@pytest.mark.parametrize("model", ENGINES)
def test_a_stream_has_tokens_in_order_and_one_result(client: httpx.Client, model: str) -> None:
    asked = {"prompt": "The sky is", "model_name": model, "max_new_tokens": 12, "temperature": 0}
    *tokens, (last_name, last) = streamed(client, **asked)
    assert {name for name, _ in tokens} == {"token"}
    assert [token["sequence_index"] for _, token in tokens] == list(range(len(tokens)))
    assert all(isinstance(token["token_id"], int) for _, token in tokens)
    reasons = [token["finish_reason"] for _, token in tokens]
    assert reasons[:-1] == [None] * (len(tokens) - 1)
    assert reasons[-1] in {"stop", "length"}
    assert last_name == "result"
    text = "".join(token["text_delta"] for _, token in tokens)
    unary = generate(client, **asked)
    assert text.strip() == last["generated_text"] == unary["generated_text"]
    assert last["usage"] == unary["usage"]
    assert len(tokens) == last["usage"]["completion_tokens"]
    assert set(last) == set(unary)


def test_stream_true_on_the_unary_route_streams(client: httpx.Client) -> None:
    asked = {"prompt": "Hi", "max_new_tokens": 3, "stream": True}
    with client.stream("POST", f"{NATIVE}/generate", json=asked) as response:
        names = [name for name, _ in events(response)]
    assert names[-1] == "result"
    assert names[:-1] == ["token"] * (len(names) - 1)


def test_the_first_token_comes_while_the_model_still_decodes(client: httpx.Client) -> None:
    asked = {"prompt": "Once upon a time", "max_new_tokens": 200, "do_sample": False}
    with client.stream("POST", f"{NATIVE}/generate/stream", json=asked) as response:
        chunks = list(response.iter_raw())
    assert b"event: result" not in chunks[0]
    assert len(chunks) > 3


def test_emoji_and_chinese_are_never_split(client: httpx.Client) -> None:
    asked = {"prompt": "🦊🐻 狐狸和熊：", "max_new_tokens": 48, "seed": 2, "temperature": 1.5}
    deltas = [data["text_delta"] for name, data in streamed(client, **asked) if name == "token"]
    assert len(deltas) > 1
    assert not any("�" in delta for delta in deltas[:-1])


def test_a_stream_that_cannot_start_is_an_ordinary_error(client: httpx.Client) -> None:
    response = client.post(f"{NATIVE}/generate/stream", json={"prompt": "word " * 9000})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error_type"] == "validation_error"


def test_several_sequences_cannot_be_streamed(client: httpx.Client) -> None:
    asked = {"prompt": "Hi", "num_return_sequences": 2}
    response = client.post(f"{NATIVE}/generate/stream", json=asked)
    assert "num_return_sequences" in response.json()["details"]["field_errors"]


def leave(client: httpx.Client, model: str) -> None:
    """Start a generation that would take minutes, read its beginning, and disconnect."""
    asked = {"prompt": "Write a very long story.", "model_name": model, "max_new_tokens": 8000}
    # The end-of-text token could end the story early; a repetition penalty prevents that.
    with client.stream(
        "POST", f"{NATIVE}/generate/stream", json={**asked, "temperature": 2, "top_k": 0}
    ) as response:
        assert next(events(response))[0] == "token"


def test_a_client_that_leaves_frees_the_one_slot_of_the_torch_engine(client: httpx.Client) -> None:
    leave(client, TORCH)
    after = generate(client, prompt="Hi", model_name=TORCH, max_new_tokens=2)
    assert after["usage"]["completion_tokens"] >= 1


def test_clients_that_leave_free_every_slot(base_url: str, client: httpx.Client) -> None:
    def leave_once(_: int) -> None:
        with httpx.Client(base_url=base_url, timeout=120) as own:
            leave(own, ENGINES[0])

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(leave_once, range(20)))
    after = generate(client, prompt="Hi", max_new_tokens=2)
    assert after["usage"]["completion_tokens"] >= 1


def test_many_at_once_are_all_answered_as_if_alone(base_url: str, client: httpx.Client) -> None:
    prompts = [f"{a} plus {b} is" for a in (2, 3, 4, 5, 6) for b in (1, 2, 3, 4)]
    asked = {"max_new_tokens": 8, "temperature": 0}

    def ask(prompt: str) -> str:
        with httpx.Client(base_url=base_url, timeout=120) as own:
            return str(generate(own, prompt=prompt, **asked)["generated_text"])

    with ThreadPoolExecutor(len(prompts)) as pool:
        together = list(pool.map(ask, prompts))
    alone = [ask(prompt) for prompt in prompts]
    same = sum(a == b for a, b in zip(together, alone, strict=True))
    assert same >= len(prompts) - 2, "more than ties of floating point"
