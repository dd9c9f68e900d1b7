"""OpenAI's routes below a model but for the chat: the path decides which model answers.

An ``openai`` client works with the base URL ``/models/{model_id}/v1``.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field
from starlette.responses import Response

from serve_app.ingress.errors import ModelNotFound
from serve_app.ingress.routes.context import Context, RequestServices, json_response
from serve_app.ingress.routes.generation_fields import GENERATE
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai import completions, embeddings, rerank
from serve_app.ingress.routes.openai import model_cards as models
from serve_app.ingress.routes.openai.shapes import (
    ERRORS,
    Completion,
    EmbeddingList,
    Model,
    ModelList,
    Rerank,
)
from serve_app.ingress.routes.ranked_documents import RERANK
from serve_app.ingress.routes.vectors import EMBED
from serve_app.ingress.validation.effects import Overruled

router = InferenceRouter(prefix="/models", tags=["hugging face"], responses=ERRORS)

AnyName: TypeAlias = Overruled[Annotated[str, Field(max_length=2048)] | None]


class CompletionBelow(completions.CompletionBody):
    """As of ``/v1/completions``."""

    model: AnyName = None


class EmbeddingsBelow(embeddings.OpenAIEmbeddingsBody):
    """As of ``/v1/embeddings``."""

    model: AnyName = None


class RerankBelow(rerank.OpenAIRerankBody):
    """As of ``/v1/rerank``."""

    model: AnyName = None


@router.inference(
    "/{model_id:path}/v1/completions",
    GENERATE,
    summary="Hugging Face: continue a prompt",
    responses=completions.EVENTS,
    response_model=Completion,
)
async def completions_below_a_model(
    model_id: str, body: CompletionBelow, services: RequestServices, context: Context
) -> Response:
    """As ``/v1/completions``, by the model that the path names."""
    named = body.model_copy(update={"model": model_id})
    return await completions.completions(named, services, context)


@router.inference(
    "/{model_id:path}/v1/embeddings",
    EMBED,
    summary="Hugging Face: texts as vectors, in OpenAI's shape",
    response_model=EmbeddingList,
)
async def embeddings_below_a_model(
    model_id: str, body: EmbeddingsBelow, services: RequestServices
) -> Response:
    """As ``/v1/embeddings``, by the model that the path names."""
    return await embeddings.embeddings(body.model_copy(update={"model": model_id}), services)


@router.inference(
    "/{model_id:path}/v1/rerank",
    RERANK,
    summary="Hugging Face: documents by relevance, in Jina's and Cohere's shape",
    response_model=Rerank,
)
async def rerank_below_a_model(
    model_id: str, body: RerankBelow, services: RequestServices, context: Context
) -> Response:
    """As ``/v1/rerank``, by the model that the path names."""
    return await rerank.rerank(body.model_copy(update={"model": model_id}), services, context)


@router.get(
    "/{model_id:path}/v1/models",
    summary="Hugging Face: the model, as the only one of a list",
    response_model=ModelList,
)
async def models_below_a_model(model_id: str, services: RequestServices) -> Response:
    """As ``/v1/models``, with the model that the path names."""
    card = await services.catalog.find(model_id)
    return json_response({"object": "list", "data": [models.shown(card, services.started)]})


@router.get(
    "/{model_id:path}/v1/models/{name:path}",
    summary="Hugging Face: the model, by OpenAI's route",
    response_model=Model,
)
async def model_below_a_model(model_id: str, name: str, services: RequestServices) -> Response:
    """As ``/v1/models/{name}``, which has to be the model that the path names."""
    card = await services.catalog.find(model_id)
    if name not in (card.name, *card.aliases):
        raise ModelNotFound(name, [card.name], "model")
    return json_response(models.shown(card, services.started))
