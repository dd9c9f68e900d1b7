"""``POST /v2/rerank``, and ``/rerank`` with documents."""

from __future__ import annotations

import pytest

from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankRequest, RerankResult
from tests.serve_app.ingress.routes.huggingface.hub import MODEL
from tests.serve_app.ingress.routes.other import post, sent
from tests.serve_app.local_handle import Family

BODY = {"model": MODEL, "query": "q", "documents": ["a", {"text": "b"}]}


@pytest.mark.parametrize("path", ["/v2/rerank", "/rerank", f"/models/{MODEL}/rerank"])
async def test_documents_are_sorted_by_relevance(path: str) -> None:
    family = Family(RerankResult((0.0, 2.0), (3, 4)))
    answer = await post(family, "rerank", path, BODY | {"return_documents": True})
    first, second = answer["results"]
    assert (first["index"], first["document"]) == (1, {"text": "b"})
    assert (second["index"], second["relevance_score"]) == (0, 0.5)
    assert answer["meta"]["api_version"] == {"version": "2"}
    assert answer["model"] == MODEL
    assert family.asked == [RerankRequest(MODEL, "q", ("a", "b"), truncate=True)]


async def test_documents_are_cut_to_the_tokens_that_are_asked_for() -> None:
    family = Family(RerankResult((0.0, 2.0), (3, 4)))
    body = BODY | {"max_tokens_per_doc": 7, "top_n": 1, "priority": 0}
    answer = await post(family, "rerank", "/v2/rerank", body)
    assert [each["index"] for each in answer["results"]] == [1]
    assert family.asked[0].max_document_tokens == 7


@pytest.mark.parametrize("path", ["/v2/rerank", "/rerank"])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"documents": []}, "documents"),
        ({"documents": ["a", " "]}, "documents.1"),
        ({"query": " "}, "query"),
        ({"max_tokens_per_doc": 0}, "max_tokens_per_doc"),
        ({"rank_fields": ["title"]}, "rank_fields"),
    ],
)
async def test_what_cannot_be_read_is_named_in_coheres_message(
    path: str, change: dict[str, object], named: str
) -> None:
    scored = RerankResult((1.0,), (3,))
    response = await sent(Family(scored), "rerank", path, BODY | change)
    assert response.status_code == 400
    assert named in response.json()["message"]


async def test_the_model_of_the_path_is_the_one_that_answers() -> None:
    body = BODY | {"model": "rerank-v3.5"}
    family = Family(RerankResult((0.0, 2.0), (3, 4)))
    answer = await post(family, "rerank", f"/models/{MODEL}/rerank", body)
    assert answer["model"] == MODEL
    response = await sent(Family(), "rerank", "/v2/rerank", body)
    assert response.status_code == 404
    assert MODEL in response.json()["message"]


async def test_a_busy_model_is_told_to_the_client() -> None:
    response = await sent(Family(Problem("overloaded", "busy")), "rerank", "/v2/rerank", BODY)
    assert (response.status_code, response.json()["message"]) == (429, "busy")
    assert response.json()["id"] == response.headers["x-request-id"]
