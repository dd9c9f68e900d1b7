"""``POST /v1/rerank``, in the shape that Jina's and Cohere's clients share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field
from starlette.responses import Response

from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.routes.context import (
    Context,
    RequestContext,
    RequestServices,
    Services,
    json_response,
)
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.shapes import ERRORS, Rerank
from serve_app.ingress.routes.ranked_documents import RERANK, rank_documents
from serve_app.ingress.routes.vectors import refuse
from serve_app.ingress.validation.fields import (
    OBJECT,
    TEXT,
    TEXT_OR_OBJECT,
    Body,
    Count,
    ModelName,
    Readable,
    Truncate,
    example,
)

router = InferenceRouter(prefix="/v1", tags=["openai"], responses=ERRORS)


class TextDocument(Body):
    text: str


RerankDocument: TypeAlias = Annotated[
    Annotated[str, TEXT] | Annotated[TextDocument, OBJECT], TEXT_OR_OBJECT
]


class DocumentsBody(Body):
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

    @property
    def texts(self) -> list[str]:
        return [each if isinstance(each, str) else each.text for each in self.documents]


class OpenAIRerankBody(DocumentsBody):
    """A query, and documents to sort by how well they answer it."""

    truncate: Truncate = False
    truncate_prompt_tokens: Literal[-1] | None = Field(None, description="-1: as truncate")

    @property
    def truncates(self) -> bool:
        return self.truncate or self.truncate_prompt_tokens is not None


@router.inference(
    "/rerank", RERANK, summary="Documents by relevance to a query", response_model=Rerank
)
async def rerank(body: OpenAIRerankBody, services: RequestServices, context: Context) -> Response:
    """Relevance from 0 to 1, best first. A document that cannot be scored is a 400 naming it."""
    answer = await ranked_answer(body, services, context, truncate=body.truncates)
    return json_response(answer)


async def ranked_answer(
    body: DocumentsBody,
    services: Services,
    context: RequestContext,
    *,
    truncate: bool,
    max_document_tokens: int | None = None,
) -> dict[str, Any]:
    """The answer in Jina's shape. Raises a 400 that names every document without a score."""
    card = await services.catalog.resolve(RERANK, body.model, "model")
    texts = body.texts
    ranked = await rank_documents(
        body.query,
        texts,
        card,
        services,
        truncate=truncate,
        max_document_tokens=max_document_tokens,
    )
    refuse(ranked.problems, "documents")
    results: list[dict[str, Any]] = [
        {
            "index": index,
            "relevance_score": ranked.relevance(index),
            **({"document": {"text": texts[index]}} if body.return_documents else {}),
        }
        for index in ranked.order[: body.top_n]
    ]
    return {
        "id": f"rerank-{context.request_id}",
        "model": card.name,
        "results": results,
        "usage": {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens},
    }
