"""Sentiment over HTTP."""

from __future__ import annotations

import httpx
import pytest

CLASSIFY = "/api/v1/huggingface/classify"


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("I want my money back", "NEGATIVE"),
        ("my new favourite album", "POSITIVE"),
        ("The food was cold and the waiter was rude.", "NEGATIVE"),
        ("What a lovely surprise, thank you!", "POSITIVE"),
    ],
)
def test_sentiment_of_one_text(client: httpx.Client, text: str, sentiment: str) -> None:
    body = client.post(CLASSIFY, json={"texts": text}).json()
    assert body["text"] == text
    assert body["sentiment"] == sentiment
    assert 0.5 < body["confidence"] <= 1
    assert {"model", "request_id", "execution_time"} <= set(body)


def test_a_list_gets_a_bare_list_with_model_and_time_in_headers(client: httpx.Client) -> None:
    response = client.post(CLASSIFY, json={"texts": ["awful", "wonderful"]})
    assert [item["sentiment"] for item in response.json()] == ["NEGATIVE", "POSITIVE"]
    assert response.headers["x-model"] == "prsm-serve/sentiment-bge-small-en"
    assert response.headers["x-request-id"]
    assert float(response.headers["x-execution-time"]) > 0


def test_a_bad_text_fails_alone(client: httpx.Client) -> None:
    texts = [f"wonderful day number {i}" for i in range(61)]
    texts[10:10] = [""]
    texts[30:30] = ["word " * 5000]
    texts[50:50] = ["x" * (101 * 1024)]
    items = client.post(CLASSIFY, json={"texts": texts}).json()
    assert len(items) == 64
    bad = [index for index, item in enumerate(items) if "error" in item]
    assert bad == [10, 30, 50]
    assert all(items[index]["error"]["error_type"] == "validation_error" for index in bad)
    assert all(items[i]["text"] == texts[i] for i in range(64) if i not in bad)


def test_a_single_text_that_is_too_long_is_400_unless_cut(client: httpx.Client) -> None:
    text = "wonderful " * 600
    response = client.post(CLASSIFY, json={"texts": text})
    assert response.status_code == 400
    assert "512" in response.json()["details"]["field_errors"]["texts"]
    cut = client.post(CLASSIFY, json={"texts": text, "truncate": True}).json()
    assert cut["sentiment"] == "POSITIVE"
