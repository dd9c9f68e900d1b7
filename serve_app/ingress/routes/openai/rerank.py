"""``POST /v1/rerank``, in the shape that Jina's and Cohere's clients share."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.routes.context import Context, Served, json_response
from serve_app.ingress.routes.embeddings import Truncate, refuse
from serve_app.ingress.routes.openai.shapes import ERRORS, Rerank
from serve_app.ingress.routes.reranking import TASK, ranked
from serve_app.ingress.validation.fields import (
    OBJECT,
    TEXT,
    TEXT_OR_OBJECT,
    Body,
    Count,
    ModelName,
    Readable,
    example,
)
from serve_app.ingress.validation.json_body import JsonRoute

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JsonRoute, responses=ERRORS)


class TextDocument(Body):
    text: str


RerankDocument: TypeAlias = Annotated[
    Annotated[str, TEXT] | Annotated[TextDocument, OBJECT], TEXT_OR_OBJECT
]


class OpenAIRerankBody(Body):
    """A query, and documents to sort by how well they answer it."""

    model_config = example(
        all_readable("documents"),
        query="How many people live in Berlin?",
        documents=["Berlin has 3.7 million inhabitants.", {"text": "Berlin has many museums."}],
        top_n=1,
    )

    query: Readable
    documents: Annotated[list[RerankDocument], Field(min_length=1)]
    model: ModelName | None = None
    top_n: Count | None = Field(None, description="all, unless given")
    return_documents: bool = False
    truncate: Truncate = False


@router.post("/rerank", summary="Documents by relevance to a query", response_model=Rerank)
async def rerank(body: OpenAIRerankBody, served: Served, context: Context) -> Response:
    """Relevance from 0 to 1, best first. A document that cannot be scored is a 400 naming it."""
    card = served.catalog.resolve(TASK, body.model, "model")
    texts = [each if isinstance(each, str) else each.text for each in body.documents]
    ranking = await ranked(body.query, texts, card, served, truncate=body.truncate)
    refuse(ranking.problems, "documents")
    results: list[dict[str, Any]] = [
        {
            "index": index,
            "relevance_score": ranking.relevance(index),
            **({"document": {"text": texts[index]}} if body.return_documents else {}),
        }
        for index in ranking.order[: body.top_n]
    ]
    usage = {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens}
    answer = {
        "id": f"rerank-{context.request_id}",
        "model": card.name,
        "results": results,
        "usage": usage,
    }
    return json_response(answer)
