"""``POST /rerank``: documents by their relevance to a query."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.context import Context, RequestServices, TaskResult
from serve_app.ingress.routes.errors import item_error
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.ranked_documents import RERANK, rank_documents
from serve_app.ingress.routes.text_items import ItemError
from serve_app.ingress.validation.fields import (
    Answer,
    Body,
    Count,
    ModelName,
    Readable,
    TextList,
    Truncate,
    example,
)

router = NativeRouter("reranking")


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


@router.task(
    "/rerank",
    RERANK,
    step="rerank",
    answer=RerankAnswer,
    summary="Documents by relevance to a query",
    also_called=("text-ranking",),
)
async def rerank(body: RerankBody, services: RequestServices, context: Context) -> TaskResult:
    """The ``top_k`` documents, best first, with their places in the request.

    A score is from 0 to 1, unless ``raw_scores``. Documents that could not be scored follow the
    others, each with its ``index`` and ``error``.
    """
    card = await services.catalog.resolve(RERANK, body.model_name)
    ranked = await rank_documents(
        body.query, body.documents, card, services, truncate=body.truncate
    )
    results: list[dict[str, Any]] = [
        {
            "index": index,
            "score": ranked.scores[index] if body.raw_scores else ranked.relevance(index),
            "document": body.documents[index],
        }
        for index in ranked.order[: body.top_k]
    ]
    results += [
        {"index": index, **item_error(from_problem(problem))}
        for index, problem in sorted(ranked.problems.items())
    ]
    return TaskResult({"results": results}, card.name)
