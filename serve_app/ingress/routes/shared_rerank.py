"""``POST /rerank``: a path of TEI's and of Cohere's and Jina's servers; the body decides."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body
from pydantic import Discriminator, Tag
from starlette.responses import Response

from serve_app.ingress.routes.cohere.rerank import CohereRerank, CohereRerankBody, cohere_answer
from serve_app.ingress.routes.context import Context, RequestServices, json_response
from serve_app.ingress.routes.model_path_router import ModelPathRouter, PathModel, with_path_model
from serve_app.ingress.routes.ranked_documents import RERANK
from serve_app.ingress.routes.tei.errors import ERRORS
from serve_app.ingress.routes.tei.rerank import TeiRank, TeiRerankBody, tei_ranks

router = ModelPathRouter(prefix="", tags=["text-embeddings-inference", "cohere"], responses=ERRORS)


def _whose(given: Any) -> str:
    """``texts`` are TEI's; ``documents`` are Cohere's and Jina's."""
    return "tei[]" if isinstance(given, dict) and "texts" in given else "cohere[]"


AnyRerankBody = Annotated[
    Annotated[TeiRerankBody, Tag("tei[]")] | Annotated[CohereRerankBody, Tag("cohere[]")],
    Discriminator(_whose),
]


@router.inference_twice(
    "/rerank",
    RERANK,
    name="shared_rerank",
    summary="TEI, Cohere and Jina: texts by relevance to a query",
    response_model=list[TeiRank] | CohereRerank,
)
async def shared_rerank(
    body: Annotated[AnyRerankBody, Body()],
    model: PathModel,
    services: RequestServices,
    context: Context,
) -> Response:
    """With ``texts`` TEI's bare list, with ``documents`` the object of ``/v2/rerank``."""
    if isinstance(body, TeiRerankBody):
        ranks, name = await tei_ranks(body, model, services)
        return context.bare_list(ranks, name)
    named = with_path_model(body, model)
    return json_response(await cohere_answer(named, services, context))
