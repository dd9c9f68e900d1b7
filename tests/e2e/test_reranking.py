"""Reranking over HTTP, in the native shape and in that of Jina's and Cohere's clients."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import LOGIT_ROUNDING

RERANK = "/api/v1/huggingface/rerank"
QUERY = "How many people live in Berlin?"
DOCUMENTS = [
    "Berlin is well known for its museums.",
    "Berlin has a population of 3.7 million registered inhabitants.",
    "Cats sleep for most of the day.",
    "New York City is famous for the Metropolitan Museum of Art.",
]


def rerank(client: httpx.Client, path: str = RERANK, **body: Any) -> dict[str, Any]:
    response = client.post(path, json={"query": QUERY, "documents": DOCUMENTS, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_the_document_that_answers_the_query_is_first(client: httpx.Client) -> None:
    answer = rerank(client)
    results = answer["results"]
    assert {"model", "request_id", "execution_time"} <= set(answer)
    assert [result["index"] for result in results][:2] == [1, 0]
    assert results[0]["score"] > 0.9 > 0.1 > results[1]["score"]
    assert [r["score"] for r in results] == sorted((r["score"] for r in results), reverse=True)
    assert all(result["document"] == DOCUMENTS[result["index"]] for result in results)


def test_raw_scores_are_the_logits_of_the_others(client: httpx.Client) -> None:
    plain, raw = rerank(client)["results"], rerank(client, raw_scores=True)["results"]
    assert [result["index"] for result in plain] == [result["index"] for result in raw]
    assert raw[0]["score"] > 5 > -5 > raw[-1]["score"]
    for chance, logit in zip(plain, raw, strict=True):
        expected = 1 / (1 + math.exp(-logit["score"]))
        assert chance["score"] == pytest.approx(expected, abs=1e-6 + LOGIT_ROUNDING / 4)


def test_top_k_keeps_the_best(client: httpx.Client) -> None:
    assert [result["index"] for result in rerank(client, top_k=1)["results"]] == [1]
    assert len(rerank(client, top_k=99)["results"]) == len(DOCUMENTS)


def test_documents_that_cannot_be_scored_follow_the_others(client: httpx.Client) -> None:
    documents = [f"Berlin has {i} lakes" for i in range(61)]
    documents[10:10] = [""]
    documents[30:30] = ["word " * 5000]
    documents[50:50] = ["x" * (101 * 1024)]
    results = rerank(client, documents=documents)["results"]
    assert len(results) == 64
    assert [result["index"] for result in results[61:]] == [10, 30, 50]
    assert all(result["error"]["error_type"] == "validation_error" for result in results[61:])
    assert sorted(r["index"] for r in results[:61]) == sorted(set(range(64)) - {10, 30, 50})
    assert "512" in results[62]["error"]["message"]


def test_documents_are_truncated_only_on_request(client: httpx.Client) -> None:
    documents = [f"{DOCUMENTS[1]} {'word ' * 2000}", DOCUMENTS[2]]
    refused, cut = (
        rerank(client, documents=documents, truncate=flag)["results"] for flag in (False, True)
    )
    assert [result["index"] for result in refused] == [1, 0]
    assert "error" in refused[1]
    assert [result["index"] for result in cut] == [0, 1]
    assert cut[0]["score"] > cut[1]["score"]


@pytest.mark.parametrize("truncate", [False, True])
def test_a_query_that_leaves_no_room_is_named(client: httpx.Client, truncate: bool) -> None:
    body = {"query": "word " * 600, "documents": DOCUMENTS, "truncate": truncate}
    response = client.post(RERANK, json=body)
    assert response.status_code == 400
    assert "query" in response.json()["details"]["field_errors"]


def test_other_texts_of_the_batch_do_not_change_a_score(client: httpx.Client) -> None:
    scores = {r["index"]: r["score"] for r in rerank(client, raw_scores=True)["results"]}
    for index, document in enumerate(DOCUMENTS):
        (alone,) = rerank(client, documents=[document], raw_scores=True)["results"]
        assert alone["score"] == pytest.approx(scores[index], abs=1e-4 + LOGIT_ROUNDING)


def test_the_shape_of_jina_and_cohere(client: httpx.Client) -> None:
    documents = [DOCUMENTS[0], {"text": DOCUMENTS[1]}]
    answer = rerank(client, "/v1/rerank", documents=documents, top_n=1)
    assert set(answer) == {"id", "model", "results", "usage"}
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > 20
    (best,) = answer["results"]
    assert set(best) == {"index", "relevance_score"}
    assert best["index"] == 1
    assert 0.9 < best["relevance_score"] < 1
    shown = rerank(client, "/v1/rerank", documents=documents, return_documents=True)["results"]
    assert [result["document"]["text"] for result in shown] == [DOCUMENTS[1], DOCUMENTS[0]]


def test_a_document_of_another_shape_is_refused_by_its_field(client: httpx.Client) -> None:
    for document, param in (({"txt": "a"}, "documents.1.text"), (5, "documents.1")):
        body = {"query": QUERY, "documents": [DOCUMENTS[0], document]}
        response = client.post("/v1/rerank", json=body)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == param
        assert "TextDocument" not in response.text


def test_a_document_that_cannot_be_scored_is_named_in_that_shape(client: httpx.Client) -> None:
    body = {"query": QUERY, "documents": [DOCUMENTS[0], {"text": " "}]}
    response = client.post("/v1/rerank", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "documents.1"
