"""``POST /v2/rerank``: documents by relevance, as Cohere's clients ask for it."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field
from starlette.responses import Response

from serve_app.ingress.routes.cohere.errors import ERRORS
from serve_app.ingress.routes.cohere.meta import Meta, meta
from serve_app.ingress.routes.context import (
    Context,
    RequestContext,
    RequestServices,
    Services,
    json_response,
)
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.rerank import DocumentsBody, ranked_answer
from serve_app.ingress.routes.openai.shapes import Rerank
from serve_app.ingress.routes.ranked_documents import RERANK
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import Count

router = InferenceRouter(prefix="/v2", tags=["cohere"], responses=ERRORS)

Priority: TypeAlias = NoEffect[Annotated[int, Field(ge=0, le=999)] | None]


class CohereRerankBody(DocumentsBody):
    """A query, and documents to sort by how well they answer it. Long documents are cut."""

    max_tokens_per_doc: Count | None = Field(
        None, description="documents are cut to it; else to what the model takes"
    )
    priority: Priority = None


class CohereRerank(Rerank):
    """Cohere's answer, with the fields that Jina's clients read besides."""

    meta: Meta


@router.inference(
    "/rerank",
    RERANK,
    name="cohere_rerank",
    summary="Cohere: documents by relevance to a query",
    response_model=CohereRerank,
)
async def cohere_rerank(
    body: CohereRerankBody, services: RequestServices, context: Context
) -> Response:
    """As ``/v1/rerank``, but documents that are too long are cut instead of refused."""
    return json_response(await cohere_answer(body, services, context))


async def cohere_answer(
    body: CohereRerankBody, services: Services, context: RequestContext
) -> dict[str, Any]:
    """Relevance from 0 to 1, best first."""
    answer = await ranked_answer(
        body, services, context, truncate=True, max_document_tokens=body.max_tokens_per_doc
    )
    return {**answer, "meta": meta("2", search_units=1)}
