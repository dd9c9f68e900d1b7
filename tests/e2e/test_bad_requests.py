"""Ten kinds of bad requests on every route get the documented error, which names the field."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

NATIVE = "/api/v1/huggingface"
CHAT = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Route:
    """A route, a valid body, and how each of its fields can be wrong."""

    path: str
    good: dict[str, Any]
    text: str
    number: str
    model: str = "model_name"
    empty: Any = ""
    long: Any = "x" * (101 * 1024)
    more: dict[str, Any] = field(default_factory=dict)


ROUTES = [
    Route(f"{NATIVE}/generate", {"prompt": "Hi", "max_new_tokens": 1}, "prompt", "temperature"),
    Route(
        f"{NATIVE}/generate/stream", {"prompt": "Hi", "max_new_tokens": 1}, "prompt", "temperature"
    ),
    Route(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
        "messages",
        "temperature",
        model="model",
        empty=[],
        long=[{"role": "user", "content": "x" * (101 * 1024)}],
    ),
    Route(
        "/v1/completions", {"prompt": "Hi", "max_tokens": 1}, "prompt", "temperature", model="model"
    ),
    Route(f"{NATIVE}/embeddings", {"texts": "a cat"}, "texts", "batch_size"),
    Route("/v1/embeddings", {"input": "a cat"}, "input", "dimensions", model="model"),
    Route(f"{NATIVE}/similarity", {"text1": "a cat", "text2": "a dog"}, "text1", "model_name"),
    Route(f"{NATIVE}/search", {"query_text": "a", "candidate_texts": ["b"]}, "query_text", "top_k"),
    Route(
        f"{NATIVE}/cluster",
        {"texts": ["a", "b"], "n_clusters": 1},
        "texts",
        "n_clusters",
        empty=[],
        long=["a", "x" * (101 * 1024)],
    ),
    Route(f"{NATIVE}/classify", {"texts": "good"}, "texts", "truncate"),
    Route(f"{NATIVE}/topics", {"texts": "good"}, "texts", "truncate"),
    Route(f"{NATIVE}/entities", {"texts": "good"}, "texts", "model_name"),
    Route(f"{NATIVE}/rerank", {"query": "good", "documents": ["better"]}, "query", "top_k"),
    Route(
        "/v1/rerank", {"query": "good", "documents": ["better"]}, "query", "top_n", model="model"
    ),
    Route(
        f"{NATIVE}/query",
        {"prompt": "Hi", "user_id": "bad", "max_tokens": 1},
        "prompt",
        "temperature",
        model="model",
    ),
    Route(f"{NATIVE}/conversations/bad/messages", {"message": "Hi"}, "message", "stream"),
    Route(f"{NATIVE}/summarize", {"texts": "good", "max_length": 1}, "texts", "max_length"),
]


@pytest.fixture(params=ROUTES, ids=lambda route: route.path)
def route(request: pytest.FixtureRequest) -> Route:
    chosen: Route = request.param
    return chosen


def refused(response: httpx.Response, route: Route, status: int, error_type: str) -> str:
    """Check the whole error envelope; returns the names of the wrong fields as one text."""
    assert response.status_code == status, response.text
    assert response.headers["x-request-id"]
    body = response.json()
    if route.path.startswith("/v1/"):
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return f"{body['error']['param']} {body['error']['message']}"
    assert body["success"] is False
    assert body["error_type"] == error_type
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["timestamp"]
    assert body["message"]
    return " ".join(body["details"].get("field_errors", {}))


def changed(route: Route, **fields: Any) -> dict[str, Any]:
    return {**route.good, **fields}


def test_the_good_body_is_answered(client: httpx.Client, route: Route) -> None:
    response = client.post(route.path, json=route.good)
    assert response.status_code == 200, response.text


def test_a_wrong_type_is_named(client: httpx.Client, route: Route) -> None:
    response = client.post(route.path, json=changed(route, **{route.text: 7}))
    assert route.text in refused(response, route, 400, "validation_error")


def test_a_missing_field_is_named(client: httpx.Client, route: Route) -> None:
    body = {name: value for name, value in route.good.items() if name != route.text}
    assert route.text in refused(client.post(route.path, json=body), route, 400, "validation_error")


def test_an_unknown_field_is_named(client: httpx.Client, route: Route) -> None:
    response = client.post(route.path, json=changed(route, tempreature=1))
    assert "tempreature" in refused(response, route, 400, "validation_error")


def test_an_empty_text_is_named(client: httpx.Client, route: Route) -> None:
    response = client.post(route.path, json=changed(route, **{route.text: route.empty}))
    assert route.text in refused(response, route, 400, "validation_error")


def test_a_text_that_is_too_long_is_named(client: httpx.Client, route: Route) -> None:
    response = client.post(route.path, json=changed(route, **{route.text: route.long}))
    assert route.text in refused(response, route, 400, "validation_error")


def test_an_unknown_model_is_404_and_lists_the_available_ones(
    client: httpx.Client, route: Route
) -> None:
    response = client.post(route.path, json=changed(route, **{route.model: "no/such-model"}))
    refused(response, route, 404, "not_found_error")
    assert "no/such-model" in response.text
    available = next(m["id"] for m in client.get("/v1/models").json()["data"])
    assert available.rpartition("/")[0]
    assert "Available:" in response.text


def test_a_body_that_is_not_json_is_refused(client: httpx.Client, route: Route) -> None:
    headers = {"content-type": "application/json"}
    response = client.post(route.path, content=b'{"prompt": ', headers=headers)
    refused(response, route, 400, "validation_error")
    assert "JSON" in response.text


def test_another_media_type_is_415(client: httpx.Client, route: Route) -> None:
    response = client.post(route.path, content=b"a=b", headers={"content-type": "text/plain"})
    refused(response, route, 415, "unsupported_media_type")


def test_an_encoded_body_is_415_and_names_the_header(client: httpx.Client, route: Route) -> None:
    body = gzip.compress(json.dumps(route.good).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = client.post(route.path, content=body, headers=headers)
    refused(response, route, 415, "unsupported_media_type")
    assert "Content-Encoding" in response.text


def test_the_wrong_method_is_405(client: httpx.Client, route: Route) -> None:
    response = client.get(route.path)
    refused(response, route, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_a_body_over_the_limit_is_413(client: httpx.Client, route: Route) -> None:
    body = json.dumps(changed(route, **{route.text: "x" * (20 * 1024 * 1024)})).encode()
    headers = {"content-type": "application/json"}
    refused(client.post(route.path, content=body, headers=headers), route, 413, "payload_too_large")


def test_a_body_without_a_declared_length_over_the_limit_is_413(
    client: httpx.Client, route: Route
) -> None:
    pieces = (b" " * 1024 * 1024 for _ in range(12))
    headers = {"content-type": "application/json"}
    refused(
        client.post(route.path, content=pieces, headers=headers), route, 413, "payload_too_large"
    )


def test_nan_is_named(client: httpx.Client, route: Route) -> None:
    body = json.dumps(changed(route, **{route.number: float("nan")})).encode()
    response = client.post(route.path, content=body, headers={"content-type": "application/json"})
    assert route.number in refused(response, route, 400, "validation_error")


def test_deep_nesting_is_refused(client: httpx.Client, route: Route) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    body = json.dumps(route.good)[:-1] + f', "{route.text}": {nested}}}'
    response = client.post(
        route.path, content=body.encode(), headers={"content-type": "application/json"}
    )
    refused(response, route, 400, "validation_error")


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"", b"7"])
def test_a_body_that_is_not_an_object_is_refused(
    client: httpx.Client, route: Route, body: bytes
) -> None:
    response = client.post(route.path, content=body, headers={"content-type": "application/json"})
    refused(response, route, 400, "validation_error")


def test_an_unknown_route_is_404(client: httpx.Client) -> None:
    body = client.get("/api/v1/huggingface/nothing").json()
    assert body["error_type"] == "not_found_error"
    assert client.get("/v1/nothing").json()["error"]["type"] == "invalid_request_error"


def test_the_request_id_is_echoed_or_generated(client: httpx.Client) -> None:
    given = client.get("/health/liveness", headers={"x-request-id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    made = client.get("/health/liveness").headers["x-request-id"]
    assert made != client.get("/health/liveness").headers["x-request-id"]
    assert given.headers.get_list("x-request-id") == ["abc-123"]
    unusable = client.get("/health/liveness", headers={"x-request-id": "x" * 500})
    assert unusable.status_code == 400
    assert "x-request-id" in unusable.json()["details"]["field_errors"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 2.1),
        ("temperature", -0.1),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_k", -2),
        ("repetition_penalty", 0),
        ("repetition_penalty", 2.5),
        ("num_return_sequences", 0),
        ("num_return_sequences", 17),
        ("max_new_tokens", 0),
        ("max_new_tokens", 9000),
        ("max_length", 9000),
        ("stop", ["x"] * 17),
        ("stop", ["x", ""]),
        ("stop", "x" * 257),
        ("seed", 1.5),
        ("stream", "yes"),
        ("do_sample", 1),
    ],
)
def test_values_out_of_range_are_named(client: httpx.Client, field: str, value: Any) -> None:
    response = client.post(f"{NATIVE}/generate", json={"prompt": "Hi", field: value})
    assert response.status_code == 400
    assert any(name.startswith(field) for name in response.json()["details"]["field_errors"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 0),
        ("n", 17),
        ("presence_penalty", 2.5),
        ("frequency_penalty", -2.5),
        ("top_logprobs", 21),
        ("max_tokens", 0),
        ("max_completion_tokens", 100_000),
        ("logit_bias", {"cat": 1}),
        ("logit_bias", {"1": 101}),
        ("store", True),
        ("tools", [{"type": "function"}]),
        ("response_format", {"type": "json_object"}),
        ("logit_bias", {"1": 5}),
    ],
)
def test_openai_fields_out_of_range_or_unsupported_are_named(
    client: httpx.Client, field: str, value: Any
) -> None:
    body = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], field: value}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert str(response.json()["error"]["param"]).startswith(field)


def test_a_prompt_that_fills_the_window_is_refused_not_cut(client: httpx.Client) -> None:
    prompt = "word " * 9000
    response = client.post(f"{NATIVE}/generate", json={"prompt": prompt, "max_new_tokens": 4})
    assert response.status_code == 400
    assert "context length" in response.json()["details"]["field_errors"]["prompt"]
