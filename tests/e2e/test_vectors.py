"""Embeddings, similarity, search and clusters over HTTP, on real weights."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import VECTOR_ROUNDING

NATIVE = "/api/v1/huggingface"


def post(client: httpx.Client, route: str, **body: Any) -> dict[str, Any]:
    response = client.post(f"{NATIVE}/{route}", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert {"model", "request_id", "execution_time"} <= set(answer)
    assert "data" not in answer
    return answer


def field_errors(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 400, response.text
    errors: dict[str, str] = response.json()["details"]["field_errors"]
    return errors


def test_one_text_gives_one_flat_vector_and_a_list_gives_a_list(client: httpx.Client) -> None:
    flat = post(client, "embeddings", texts="a cat")["embeddings"]
    listed = post(client, "embeddings", texts=["a cat"])["embeddings"]
    assert len(flat) == 384
    assert listed[0] == pytest.approx(flat, abs=1e-6)


def test_normalising_can_be_switched_off(client: httpx.Client) -> None:
    unit = post(client, "embeddings", texts="a cat")["embeddings"]
    raw = post(client, "embeddings", texts="a cat", normalize=False)["embeddings"]
    assert math.hypot(*unit) == pytest.approx(1.0, abs=1e-5)
    length = math.hypot(*raw)
    assert length != pytest.approx(1.0, abs=1e-2)
    assert [value / length for value in raw] == pytest.approx(unit, abs=1e-5)


def test_other_texts_of_the_batch_do_not_change_a_vector(client: httpx.Client) -> None:
    texts = ["a cat", "a much longer text about nothing in particular " * 10, "dog"]
    together = post(client, "embeddings", texts=texts, batch_size=2)["embeddings"]
    for text, vector in zip(texts, together, strict=True):
        alone = post(client, "embeddings", texts=text)["embeddings"]
        assert vector == pytest.approx(alone, abs=1e-5 + VECTOR_ROUNDING)


def test_a_cat_is_nearer_to_a_kitten_than_to_the_stock_market(client: httpx.Client) -> None:
    near = post(client, "similarity", text1="cat", text2="kitten")["similarity"]
    far = post(client, "similarity", text1="cat", text2="stock market")["similarity"]
    assert near > far + 0.3


def test_similarity_takes_vectors_and_mixes(client: httpx.Client) -> None:
    assert post(client, "similarity", text1=[1.0, 0], text2=[1, 1.0])[
        "similarity"
    ] == pytest.approx(math.sqrt(0.5))
    vector = post(client, "embeddings", texts="cat")["embeddings"]
    assert post(client, "similarity", text1=vector, text2="cat")["similarity"] == pytest.approx(
        1.0, abs=1e-5
    )


def test_vectors_without_an_angle_are_refused(client: httpx.Client) -> None:
    route = f"{NATIVE}/similarity"
    assert "text2" in field_errors(client.post(route, json={"text1": [1.0], "text2": [1.0, 2.0]}))
    assert "text1" in field_errors(client.post(route, json={"text1": [0.0, 0], "text2": [1.0, 2]}))
    assert "text2" in field_errors(client.post(route, json={"text1": "cat", "text2": [1.0, 2]}))


def test_search_ranks_candidates(client: httpx.Client) -> None:
    candidates = ["the stock market fell", "a small kitten", "an old car", "a tabby cat"]
    results = post(client, "search", query_text="cat", candidate_texts=candidates, top_k=2)[
        "results"
    ]
    assert {result["index"] for result in results} == {1, 3}
    assert results[0]["similarity"] >= results[1]["similarity"]
    assert all(result["text"] == candidates[result["index"]] for result in results)


def test_similar_texts_share_a_cluster(client: httpx.Client) -> None:
    texts = ["cat", "stocks", "kitten", "bonds", "feline", "shares"]
    answer = post(client, "cluster", texts=texts, n_clusters=2)
    groups = [sorted(item["index"] for item in group) for group in answer["clusters"].values()]
    assert sorted(groups) == [[0, 2, 4], [1, 3, 5]]
    assert answer["n_clusters"] == len(answer["cluster_centers"]) == 2
    assert len(answer["cluster_centers"][0]) == 384
    again = post(client, "cluster", texts=texts, n_clusters=2)
    assert again["clusters"] == answer["clusters"]


def test_more_clusters_than_texts_is_refused(client: httpx.Client) -> None:
    response = client.post(f"{NATIVE}/cluster", json={"texts": ["a", "b"]})
    assert "n_clusters" in field_errors(response)


def test_bad_texts_in_a_list_are_all_named(client: httpx.Client) -> None:
    texts = ["fine", "", "word " * 400, "fine too", "   "]
    response = client.post(f"{NATIVE}/embeddings", json={"texts": texts})
    errors = field_errors(response)
    assert set(errors) == {"texts.1", "texts.2", "texts.4"}
    assert "256" in errors["texts.2"]


def test_long_texts_are_truncated_only_on_request(client: httpx.Client) -> None:
    text = "word " * 400
    vector = post(client, "embeddings", texts=text, truncate=True)["embeddings"]
    assert len(vector) == 384


def test_too_many_texts_are_refused(client: httpx.Client) -> None:
    response = client.post(f"{NATIVE}/embeddings", json={"texts": ["a"] * 2049})
    assert "texts" in field_errors(response)


def test_many_texts_in_one_request_keep_their_order(client: httpx.Client) -> None:
    texts = [f"number {i} " + "and on " * (i % 17) for i in range(300)]
    together = post(client, "embeddings", texts=texts)["embeddings"]
    for index in (0, 16, 150, 299):
        alone = post(client, "embeddings", texts=texts[index])["embeddings"]
        assert together[index] == pytest.approx(alone, abs=1e-5 + VECTOR_ROUNDING)
