"""``POST /pooling``: what a model pools from texts, vectors or probabilities, as vLLM answers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel
from starlette.responses import Response

from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.json_pieces import Base64
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Context, RequestServices, Services, paced_json
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.label_scores import SENTIMENT, TOPIC
from serve_app.ingress.routes.openai.shapes import ERRORS, EmbeddingUsage
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.routes.vectors import EMBED, embed
from serve_app.ingress.routes.vllm.classify import class_scores
from serve_app.ingress.routes.vllm.fields import VllmBody, listed
from serve_app.ingress.validation.fields import Count, Texts, example

router = InferenceRouter(prefix="", tags=["vllm"], responses=ERRORS)


class PoolingBody(VllmBody):
    """Texts to pool. ``use_activation: false`` leaves vectors unscaled, and classes as logits."""

    model_config = example(all_readable("input"), input=["The cat sat on the mat."])

    input: Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = None
    use_activation: bool | None = None


class PooledText(BaseModel):
    index: int
    object: Literal["pooling"]
    data: list[float] | str


class PoolingList(BaseModel):
    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[PooledText]
    usage: EmbeddingUsage


@router.inference(
    "/pooling",
    EMBED,
    SENTIMENT,
    TOPIC,
    name="vllm_pooling",
    summary="vLLM: what a model pools from texts",
    response_model=PoolingList,
)
async def vllm_pooling(body: PoolingBody, services: RequestServices, context: Context) -> Response:
    """Vectors of length 1 of a model that embeds, probabilities of a classifier."""
    tasks = (EMBED, SENTIMENT, TOPIC)
    task, card = await services.catalog.resolve_first(tasks, body.model, "model")
    pooled = _vectors if task == EMBED else _probabilities
    rows, tokens = await pooled(body, card, services)
    shown = map(Base64, rows) if body.encoding_format == "base64" else rows
    data = [{"index": index, "object": "pooling", "data": each} for index, each in enumerate(shown)]
    return await paced_json(listed("pool", data, card.name, tokens, context), services.turns)


async def _vectors(body: PoolingBody, card: ModelCard, services: Services) -> tuple[Any, int]:
    embedded = await embed(
        services,
        card,
        tuple(texts_of(body.input)),
        "input",
        normalize=body.use_activation is not False,
        truncate=body.truncates,
        dimensions=body.dimensions,
        fields={},
    )
    return embedded.vectors, sum(embedded.tokens)


async def _probabilities(body: PoolingBody, card: ModelCard, services: Services) -> tuple[Any, int]:
    if body.dimensions is not None:
        raise ValidationFailed("A classifier has no dimensions to choose.", field="dimensions")
    rows, tokens = await class_scores(
        texts_of(body.input),
        card,
        services,
        truncate=body.truncates,
        raw=body.use_activation is False,
    )
    return np.asarray([list(row.values()) for row in rows], np.float32), tokens
