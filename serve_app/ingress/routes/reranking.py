"""``POST /rerank``: documents by their relevance to a query."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankRequest, RerankResult
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services, TaskResult
from serve_app.ingress.routes.embeddings import Truncate, check_text
from serve_app.ingress.routes.errors import item_error
from serve_app.ingress.routes.items import ItemError
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import (
    Answer,
    Body,
    Count,
    ModelName,
    Readable,
    TextList,
    example,
)
from serve_app.ingress.validation.limits import check_count, text_problem

router = NativeRouter("reranking")

TASK = "rerank"
FIELDS = {"model": "model_name"}


class RerankBody(Body):
    """A query, and documents to sort by how well they answer it."""

    model_config = example(
        query="How many people live in Berlin?",
        documents=["Berlin has 3.7 million inhabitants.", "Berlin is known for its museums."],
    )

    query: Readable
    documents: TextList
    top_k: Count | None = Field(None, description="all, unless given")
    raw_scores: bool = Field(False, description="the model's logits instead of 0 to 1")
    model_name: ModelName | None = None
    truncate: Truncate = False


class Scored(BaseModel):
    index: int
    score: float
    document: str


class Unscored(ItemError):
    index: int


class RerankAnswer(Answer):
    results: list[Scored | Unscored]


@dataclass(frozen=True, slots=True)
class RankedDocuments:
    """``order`` is the scored documents' places, best first; ``tokens`` counts what was read."""

    order: tuple[int, ...]
    scores: dict[int, float]
    problems: dict[int, Problem]
    tokens: int

    def relevance(self, index: int) -> float:
        """From 0 to 1: the sigmoid of the logit. Sorting is by logits, which do not saturate."""
        return 0.5 * (1.0 + math.tanh(0.5 * self.scores[index]))


@router.post("/rerank", summary="Documents by relevance to a query", response_model=RerankAnswer)
async def rerank_route(body: RerankBody, served: Served, context: Context) -> Response:
    """The ``top_k`` documents, best first, with their places in the request.

    A score is from 0 to 1, unless ``raw_scores``. Documents that could not be scored follow the
    others, each with its ``index`` and ``error``.
    """
    return context.respond(await rerank(body, served, context))


@router.task("rerank", RerankBody, TASK)
async def rerank(body: RerankBody, served: Services, context: RequestContext) -> TaskResult:
    card = served.catalog.resolve(TASK, body.model_name)
    ranking = await ranked(body.query, body.documents, card, served, truncate=body.truncate)
    results: list[dict[str, Any]] = [
        {
            "index": index,
            "score": ranking.scores[index] if body.raw_scores else ranking.relevance(index),
            "document": body.documents[index],
        }
        for index in ranking.order[: body.top_k]
    ]
    results += [
        {"index": index, **item_error(from_problem(problem))}
        for index, problem in sorted(ranking.problems.items())
    ]
    return TaskResult({"results": results}, card.name)


async def ranked(
    query: str, documents: Sequence[str], card: ModelCard, served: Services, *, truncate: bool
) -> RankedDocuments:
    """Every document's score, or why it has none. Raises for a query that cannot be read."""
    check_text(query, served, "query")
    check_count(len(documents), served.settings, "documents")
    found = {i: text_problem(text, served.settings) for i, text in enumerate(documents)}
    problems = {i: problem for i, problem in found.items() if problem is not None}
    good = [i for i in found if i not in problems]
    scores: dict[int, float] = {}
    tokens = 0
    if good:
        chosen = tuple(documents[i] for i in good)
        request = RerankRequest(card.name, query, chosen, truncate)
        answer: RerankResult = await served.client.call(card.family, "rerank", request, FIELDS)
        tokens = sum(answer.tokens)
        for i, item in zip(good, answer.items, strict=True):
            if isinstance(item, Problem):
                problems[i] = item
            else:
                scores[i] = item
    order = tuple(sorted(scores, key=lambda i: scores[i], reverse=True))
    return RankedDocuments(order, scores, problems, tokens)
