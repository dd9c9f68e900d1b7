"""TEI's routes, at the root and below a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deployments.seam.classification import ClassificationRequest, ClassificationResult, LabelScore
from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankRequest, RerankResult
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.huggingface.hub import MODEL
from tests.serve_app.ingress.routes.other import post, sent
from tests.serve_app.local_handle import Family

VECTORS = np.asarray([[0.6, 0.8], [1.0, 0.0]], np.float32)
RANKING = (LabelScore("good", 0.75), LabelScore("bad", 0.25))
SHOWN = [{"score": 0.75, "label": "good"}, {"score": 0.25, "label": "bad"}]
PLACES = pytest.mark.parametrize("place", ["", f"/models/{MODEL}", "/models/model"])


@PLACES
async def test_texts_become_vectors(place: str) -> None:
    family = Family(EmbeddingResult(VECTORS, (1, 1)), EmbeddingResult(VECTORS[:1], (1,)))
    body = {"inputs": ["a", "b"], "truncate": True, "truncation_direction": "Right"}
    assert np.allclose(await post(family, "embed", f"{place}/embed", body), VECTORS)
    single = {"inputs": "a", "normalize": False}
    assert np.allclose(await post(family, "embed", f"{place}/embed", single), VECTORS[:1])
    assert [(each.truncate, each.normalize) for each in family.asked] == [
        (True, True),
        (False, False),
    ]


@PLACES
async def test_sentences_are_compared(place: str) -> None:
    family = Family(EmbeddingResult(VECTORS, (1, 1)))
    body = {"inputs": {"source_sentence": "a", "sentences": ["b"]}}
    (found,) = await post(family, "embed", f"{place}/similarity", body)
    assert found == pytest.approx(0.6)


@PLACES
async def test_texts_are_sorted_by_relevance(place: str) -> None:
    family = Family(*[RerankResult((0.0, 2.0), (3, 4))] * 2)
    body = {"query": "q", "texts": ["a", "b"], "truncation_direction": "Left"}
    first, second = await post(family, "rerank", f"{place}/rerank", body)
    assert (first["index"], second) == (1, {"index": 0, "score": 0.5})
    raw = body | {"raw_scores": True, "return_text": True, "truncate": False}
    assert await post(family, "rerank", f"{place}/rerank", raw) == [
        {"index": 1, "score": 2.0, "text": "b"},
        {"index": 0, "score": 0.0, "text": "a"},
    ]
    assert family.asked[0] == RerankRequest(MODEL, "q", ("a", "b"))


async def test_the_best_texts_alone_are_answered() -> None:
    family = Family(RerankResult((0.0, 2.0), (3, 4)))
    (best,) = await post(
        family, "rerank", "/rerank", {"query": "q", "texts": ["a", "b"], "top_n": 1}
    )
    assert best["index"] == 1


@PLACES
async def test_texts_get_their_labels(place: str) -> None:
    path = f"{place}/predict"
    for inputs in ("a", ["a"]):
        family = Family(ClassificationResult((RANKING,)))
        assert await post(family, "sentiment", path, {"inputs": inputs}) == SHOWN
    family = Family(ClassificationResult((RANKING, RANKING)))
    body = {"inputs": [["a"], ["b"]], "raw_scores": True, "truncate": True}
    assert await post(family, "sentiment", path, body) == [SHOWN, SHOWN]
    assert family.asked == [ClassificationRequest(MODEL, ("a", "b"), True, "none")]


async def test_a_topic_model_predicts_too() -> None:
    family = Family(ClassificationResult((RANKING,)))
    assert await post(family, "topic", "/predict", {"inputs": "a"}) == SHOWN


@pytest.mark.parametrize(
    ("path", "tasks", "body", "named"),
    [
        ("/embed", "embed", {"inputs": ["a", " "]}, "inputs.1"),
        ("/embed", "embed", {"inputs": "a", "model": MODEL}, "model"),
        ("/predict", "sentiment", {"inputs": ["a", "b"]}, "pair"),
        ("/predict", "sentiment", {"inputs": [["a", "b"]]}, "pair"),
        ("/predict", "sentiment", {"inputs": [["a"], [" "]]}, "inputs.1"),
        ("/predict", "sentiment", {"inputs": " "}, "inputs"),
        ("/rerank", "rerank", {"query": "q", "texts": ["a", ""]}, "texts.1"),
        (
            "/rerank",
            "rerank",
            {"query": "q", "texts": ["a"], "truncate": True, "truncation_direction": "Left"},
            "truncation_direction",
        ),
        ("/rerank", "rerank", {"query": "q", "texts": ["a"], "top_k": 1}, "top_k"),
        ("/rerank", "rerank", {"query": "q", "texts": ["a"], "top_n": 0}, "top_n"),
    ],
)
async def test_what_cannot_be_read_is_named_in_teis_words(
    path: str, tasks: str, body: dict[str, Any], named: str
) -> None:
    results = {
        "embed": EmbeddingResult(VECTORS[:1], (1,)),
        "sentiment": ClassificationResult((RANKING,)),
        "rerank": RerankResult((1.0,), (2,)),
    }
    for place in ("", f"/models/{MODEL}"):
        response = await sent(Family(results[tasks]), tasks, place + path, body)
        assert response.status_code == 400, response.text
        assert response.json()["error_type"] == "Validation"
        assert named in response.json()["error"]


@pytest.mark.parametrize(
    ("problem", "status", "word"),
    [
        (Problem("overloaded", "busy"), 429, "Overloaded"),
        (Problem("unavailable", "gone"), 503, "Unhealthy"),
        (Problem("internal", "secret"), 500, "Backend"),
        (Problem("timeout", "late"), 504, "Backend"),
    ],
)
async def test_failures_have_teis_words(problem: Problem, status: int, word: str) -> None:
    response = await sent(Family(problem), "embed", "/embed", {"inputs": "a"})
    assert (response.status_code, response.json()["error_type"]) == (status, word)


async def test_a_model_that_does_something_else_is_not_found() -> None:
    response = await sent(Family(), "embed", f"/models/{MODEL}/predict", {"inputs": "a"})
    assert response.status_code == 404
    nothing = await sent(Family(), "embed", "/predict", {"inputs": "a"})
    assert "No model is configured" in nothing.json()["error"]


@pytest.mark.parametrize(
    ("tasks", "kind"),
    [("embed", "embedding"), ("rerank", "reranker"), ("topic", "classifier"), ("chat", None)],
)
async def test_info_tells_what_the_model_is(tasks: str, kind: str | None) -> None:
    async with hub.client(Family(), tasks) as client:
        root = (await client.get("http://house/info")).json()
        below = (await client.get(f"{MODEL}/info")).json()
    assert root == below
    assert root["model_id"] == MODEL
    assert root["model_type"] == ({kind: {}} if kind else None)
    assert root["max_client_batch_size"] == 2048
    assert root["max_input_length"] == root["max_total_tokens"] == hub.WINDOW
