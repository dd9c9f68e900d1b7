"""Summaries over HTTP; in the embedded profile the chat model writes them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

SUMMARIZE = "/api/v1/huggingface/summarize"
BRIDGE = (
    "The city council voted on Monday to close the old bridge over the river for eighteen months. "
    "Engineers found cracks in two of its pillars during an inspection in spring. Buses will take "
    "a detour through the harbour, and a temporary ferry will carry pedestrians and cyclists free "
    "of charge. The repair costs forty million euros, half of which the state pays."
)


def summarize(client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post(SUMMARIZE, json={"texts": BRIDGE, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_summary_is_shorter_and_about_the_text(client: httpx.Client) -> None:
    answer = summarize(client, max_length=60, min_length=10)
    assert {"summary", "usage", "model", "request_id", "execution_time"} == set(answer)
    assert "bridge" in answer["summary"]
    assert 40 < len(answer["summary"]) < len(BRIDGE)
    assert answer["summary"] == answer["summary"].strip()
    usage = answer["usage"]
    assert 10 <= usage["completion_tokens"] <= 60
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_the_same_request_gets_the_same_summary(client: httpx.Client) -> None:
    first, again = (summarize(client, max_length=30)["summary"] for _ in range(2))
    assert first == again


def test_summaries_keep_to_their_bounds_in_tokens(client: httpx.Client) -> None:
    natural = summarize(client, min_length=0)["usage"]["completion_tokens"]
    longer = summarize(client, min_length=natural + 10, max_length=natural + 10)
    assert longer["usage"]["completion_tokens"] == natural + 10
    assert summarize(client, max_length=7)["usage"]["completion_tokens"] == 7
    assert summarize(client)["usage"]["completion_tokens"] >= 50


def test_a_list_keeps_one_object_around_it_and_bad_texts_fail_alone(
    client: httpx.Client,
) -> None:
    texts = ["The cat sat on the mat and slept.", "", BRIDGE, "x" * (101 * 1024), "word " * 9000]
    answer = summarize(client, texts=texts, max_length=8)
    assert "summary" not in answer
    cat, empty, bridge, big, long = answer["summaries"]
    assert isinstance(cat, str)
    assert isinstance(bridge, str)
    assert cat != bridge
    assert all(bad["error"]["error_type"] == "validation_error" for bad in (empty, big, long))
    assert "context length" in long["error"]["message"]
    assert answer["usage"]["completion_tokens"] == 16


def test_a_list_of_one_is_a_list(client: httpx.Client) -> None:
    assert len(summarize(client, texts=[BRIDGE], max_length=4)["summaries"]) == 1


def test_a_text_beyond_the_window_is_named(client: httpx.Client) -> None:
    response = client.post(SUMMARIZE, json={"texts": "word " * 9000})
    assert response.status_code == 400
    assert "8192" in response.json()["details"]["field_errors"]["texts"]


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("max_length", {"max_length": 0}),
        ("max_length", {"max_length": 9000}),
        ("min_length", {"min_length": -1}),
        ("min_length", {"min_length": 30, "max_length": 20}),
        ("min_length", {"min_length": 151}),
    ],
)
def test_lengths_out_of_range_are_named(
    client: httpx.Client, field: str, more: dict[str, Any]
) -> None:
    response = client.post(SUMMARIZE, json={"texts": BRIDGE, **more})
    assert response.status_code == 400
    assert field in response.json()["details"]["field_errors"]


def test_the_torch_engine_keeps_the_bounds_as_well(client: httpx.Client) -> None:
    model = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
    answer = summarize(client, max_length=6, min_length=6, model_name=model)
    assert answer["model"] == model
    assert answer["usage"]["completion_tokens"] == 6
