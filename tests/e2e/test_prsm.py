"""The requests of PRSM's node against the running graph, and the fields that it reads.

The bodies are that backend's, field by field, sent with a plain HTTP client.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.test_generation import events

NATIVE = "/api/v1/huggingface"
CHAT = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "max_tokens": 24,
    "temperature": 0.0,
    "top_p": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "stop": ["\n\n"],
}
KEYS = [{}, {"authorization": "Bearer sk-prsm"}, {"x-api-key": "sk-prsm"}]


@pytest.fixture(params=KEYS, ids=["no key", "bearer", "x-api-key"])
def node(request: pytest.FixtureRequest, base_url: str) -> Iterator[httpx.Client]:
    """PRSM's client: with a key or without, and with its own request id."""
    headers = {**request.param, "x-request-id": "prsm-42"}
    with httpx.Client(base_url=base_url, timeout=120, headers=headers) as client:
        yield client


def sent(node: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    response = node.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.headers.get_list("x-request-id") == ["prsm-42"]
    return response.json()


def default_model(node: httpx.Client) -> str:
    response = node.get("/v1/models")
    assert response.status_code == 200
    assert response.headers["x-request-id"] == "prsm-42"
    return str(response.json()["data"][0]["id"])


def test_its_chat_is_answered(node: httpx.Client) -> None:
    body = sent(node, "/v1/chat/completions", {"model": default_model(node), **CHAT})
    assert "Paris" in body["choices"][0]["message"]["content"]
    assert body["choices"][0]["finish_reason"] in {"stop", "length"}
    counts = body["usage"]
    assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]
    assert counts["completion_tokens"] > 0


def test_its_embedding_of_one_string_is_a_vector(node: httpx.Client) -> None:
    body = {"model": "sentence-transformers/all-MiniLM-L6-v2", "input": "a kitten"}
    answer = sent(node, "/v1/embeddings", body)
    (item,) = answer["data"]
    assert len(item["embedding"]) == 384
    assert sum(value * value for value in item["embedding"]) == pytest.approx(1, abs=1e-3)


def test_its_query_is_answered(node: httpx.Client) -> None:
    body = {
        "prompt": "In which city does Ada live?",
        "user_id": "node-1",
        "max_tokens": 40,
        "temperature": 0.0,
        "context": {"name": "Ada", "city": "Berlin"},
    }
    answer = sent(node, f"{NATIVE}/query", body)
    assert answer["query_id"].startswith("hf_node-1_")
    assert "Berlin" in answer["final_answer"]
    assert answer["user_id"] == "node-1"
    assert answer["model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert type(answer["token_usage"]) is int
    assert answer["token_usage"] == answer["usage"]["total_tokens"]
    assert answer["metadata"] == {"huggingface_integration": True, "device": "cpu"}
    again = sent(node, f"{NATIVE}/query", body)
    assert again["query_id"] != answer["query_id"]


def test_its_stream_has_one_event_for_each_token_and_one_at_the_end(node: httpx.Client) -> None:
    body = {"prompt": "Once upon a time", "max_new_tokens": 12, "temperature": 0.7}
    with node.stream("POST", f"{NATIVE}/generate/stream", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-request-id"] == "prsm-42"
        *tokens, (last, result) = list(events(response))
    assert [name for name, _ in tokens] == ["token"] * 12
    assert [data["sequence_index"] for _, data in tokens] == list(range(12))
    fields = {"sequence_index", "text_delta", "token_id", "finish_reason"}
    assert all(set(data) == fields for _, data in tokens)
    assert all(type(data["token_id"]) is int for _, data in tokens)
    assert [data["finish_reason"] for _, data in tokens] == [None] * 11 + ["length"]
    assert last == "result"
    assert result["request_id"] == "prsm-42"
    assert result["generated_text"] == "".join(data["text_delta"] for _, data in tokens).strip()


def test_its_errors_have_its_id(node: httpx.Client) -> None:
    response = node.post(f"{NATIVE}/query", json={"prompt": "Hi"})
    assert response.status_code == 400
    assert response.json()["request_id"] == response.headers["x-request-id"] == "prsm-42"
    assert list(response.json()["details"]["field_errors"]) == ["user_id"]
