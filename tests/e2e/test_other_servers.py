"""Routes of other servers, as their clients call them, against the running graph."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

RERANKER = "ms-marco-MiniLM-L12-v2"
EMBEDDER = "all-MiniLM-L6-v2"
QUERY = "How many people live in Berlin?"
DOCUMENTS = ["Berlin is known for its museums.", "Berlin has 3.7 million inhabitants."]
LONG = "Berlin has 3.7 million inhabitants. " + "It has museums. " * 400


def post(client: httpx.Client, path: str, body: dict[str, Any], **headers: str) -> Any:
    response = client.post(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def test_coheres_reranking_cuts_documents_where_it_is_told(client: httpx.Client) -> None:
    body = {"model": RERANKER, "query": QUERY, "documents": [*DOCUMENTS, LONG]}
    whole = post(client, "/v2/rerank", body)["results"]
    assert {each["index"] for each in whole[:2]} == {1, 2}
    cut = post(client, "/v2/rerank", body | {"max_tokens_per_doc": 2})["results"]
    scores = {each["index"]: each["relevance_score"] for each in cut}
    assert scores[1] == pytest.approx(scores[2], abs=1e-3)  # "Berlin has" is left of both


def test_coheres_vectors_are_those_of_the_native_route(client: httpx.Client) -> None:
    texts = {"texts": DOCUMENTS}
    native = post(client, "/api/v1/huggingface/embeddings", texts)["embeddings"]
    more = {"input_type": "search_document", "embedding_types": ["float", "ubinary"]}
    found = post(client, "/v2/embed", texts | more)["embeddings"]
    assert found["float"][0] == pytest.approx(native[0], abs=5e-3)
    assert len(found["ubinary"][0]) == len(native[0]) // 8
    assert len(post(client, "/v1/embed", texts)["embeddings"]) == 2


def test_teis_routes_answer_at_the_root_and_below_a_model(client: httpx.Client) -> None:
    for place in ("", f"/models/{EMBEDDER}"):
        (vector,) = post(client, f"{place}/embed", {"inputs": "a", "truncate": True})
        assert len(vector) == 384
    for place in ("", f"/models/{RERANKER}"):
        ranks = post(client, f"{place}/rerank", {"query": QUERY, "texts": DOCUMENTS})
        assert [each["index"] for each in ranks] == [1, 0]
    (first, *_) = post(client, "/predict", {"inputs": "my new favourite album"})
    assert first["label"] == "POSITIVE"


def test_tgis_routes_continue_a_prompt(client: httpx.Client) -> None:
    body = {"inputs": "The capital of France is", "parameters": {"max_new_tokens": 4}}
    text = post(client, "/generate", body)["generated_text"]
    assert text.startswith(" Paris")
    with client.stream("POST", "/generate_stream", json=body) as response:
        lines = [line for line in response.iter_lines() if line.startswith("data:")]
    assert len(lines) == 4
    assert json.loads(lines[-1].removeprefix("data:"))["generated_text"] == text
    info = client.get("/info").json()
    assert info["max_total_tokens"] == 8192


def test_vllms_routes_beside_openais(client: httpx.Client) -> None:
    scores = post(client, "/score", {"text_1": QUERY, "text_2": DOCUMENTS})["data"]
    assert scores[1]["score"] > 0.9 > scores[0]["score"]
    (mood,) = post(client, "/classify", {"input": "my new favourite album"})["data"]
    assert mood["label"] == "POSITIVE"
    assert max(mood["probs"]) == pytest.approx(1 - min(mood["probs"]), abs=1e-6)
    (pooled,) = post(client, "/pooling", {"input": "a"})["data"]
    assert len(pooled["data"]) == 384
    prompt = "The capital of France is"
    counted = post(client, "/tokenize", {"prompt": prompt, "return_token_strs": True})
    assert "".join(counted["token_strs"]) == prompt
    assert post(client, "/detokenize", {"tokens": counted["tokens"]}) == {"prompt": prompt}
    chat = {"messages": [{"role": "user", "content": prompt}]}
    answer = post(client, "/v1/chat/completions", chat | {"max_tokens": 1})
    assert post(client, "/tokenize", chat)["count"] == answer["usage"]["prompt_tokens"]


def test_old_clients_of_hugging_face_get_their_zero_shot_shape(client: httpx.Client) -> None:
    parameters = {"candidate_labels": ["sports", "cooking"]}
    body = {"inputs": "Beat the eggs and add flour.", "parameters": parameters}
    path = f"/models/{RERANKER}"
    old = post(client, path, body, **{"user-agent": "unknown/None; hf_hub/0.36.0; python/3.12"})
    assert (old["labels"][0], len(old["scores"])) == ("cooking", 2)
    assert post(client, path, body)[0]["label"] == "cooking"
