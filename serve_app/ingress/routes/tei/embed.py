"""``POST /embed`` and ``/similarity``: Hugging Face's tasks under TEI's paths."""

from __future__ import annotations

from starlette.responses import Response

from serve_app.ingress.routes.context import Context, RequestServices
from serve_app.ingress.routes.huggingface.embeddings import (
    FeatureBody,
    HubSimilarityBody,
    feature_extraction,
    sentence_similarity,
)
from serve_app.ingress.routes.model_path_router import ModelPathRouter, PathModel
from serve_app.ingress.routes.tei.errors import ERRORS
from serve_app.ingress.routes.vectors import EMBED

router = ModelPathRouter(prefix="", tags=["text-embeddings-inference"], responses=ERRORS)


@router.inference_twice(
    "/embed",
    EMBED,
    name="tei_embed",
    summary="TEI: texts as vectors",
    response_model=list[list[float]],
)
async def tei_embed(
    body: FeatureBody, model: PathModel, services: RequestServices, context: Context
) -> Response:
    """One vector a text, in a list also when it is one text."""
    card = await services.catalog.resolve(EMBED, model, "model")
    return await feature_extraction(body, card, services, context)


@router.inference_twice(
    "/similarity",
    EMBED,
    name="tei_similarity",
    summary="TEI: how similar sentences are to another",
    response_model=list[float],
)
async def tei_similarity(
    body: HubSimilarityBody, model: PathModel, services: RequestServices, context: Context
) -> Response:
    """The cosine of each sentence with the source, in order."""
    card = await services.catalog.resolve(EMBED, model, "model")
    return await sentence_similarity(body, card, services, context)
