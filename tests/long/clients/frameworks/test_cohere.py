"""Cohere's own client, whose address is all that is changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cohere
import pytest

DOCUMENTS = ["Berlin is known for its museums.", "Berlin has 3.7 million inhabitants."]
TEXTS = ["a cat", "a kitten", "stocks fell"]


@pytest.fixture
def client(service: Any) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="unused", base_url=service.url)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return (
        sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)
    )


def test_rerank(client: cohere.ClientV2, service: Any) -> None:
    answer = client.rerank(
        model=service.reranker,
        query="How many people live in Berlin?",
        documents=DOCUMENTS,
        top_n=2,
        max_tokens_per_doc=64,
    )
    assert [each.index for each in answer.results] == [1, 0]
    assert answer.results[0].relevance_score > 0.9 > answer.results[1].relevance_score


async def test_rerank_asynchronously(service: Any) -> None:
    async with cohere.AsyncClientV2(api_key="unused", base_url=service.url) as client:
        answer = await client.rerank(
            model=service.reranker, query="inhabitants", documents=DOCUMENTS, top_n=1
        )
    assert [each.index for each in answer.results] == [1]


def test_embed(client: cohere.ClientV2, service: Any) -> None:
    answer = client.embed(
        model=service.vectors,
        texts=TEXTS,
        input_type="search_document",
        embedding_types=["float"],
    )
    vectors = answer.embeddings.float_
    assert vectors is not None
    assert [len(each) for each in vectors] == [384] * 3
    assert cosine(vectors[0], vectors[1]) > 0.6 > 0.2 > cosine(vectors[0], vectors[2])


def test_embed_of_the_first_version(service: Any) -> None:
    client = cohere.Client(api_key="unused", base_url=service.url)
    answer = client.embed(model=service.vectors, texts=TEXTS, input_type="search_query")
    assert len(answer.embeddings) == 3
    assert cosine(answer.embeddings[0], answer.embeddings[1]) > 0.6


def test_an_unknown_model_is_an_error_of_the_clients_own(client: cohere.ClientV2) -> None:
    with pytest.raises(cohere.NotFoundError) as caught:
        client.rerank(model="no-such-model", query="a", documents=["b"])
    assert "no-such-model" in str(caught.value.body)
