"""``POST /v2/embed`` and ``/v1/embed``: texts as vectors, as Cohere's clients ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, Field
from starlette.responses import Response

from deployments.seam.embeddings import EmbeddingResult, Vectors
from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.json_pieces import Base64
from serve_app.ingress.routes.cohere.errors import ERRORS
from serve_app.ingress.routes.cohere.meta import Meta, meta
from serve_app.ingress.routes.cohere.rerank import Priority
from serve_app.ingress.routes.context import (
    Context,
    RequestContext,
    RequestServices,
    Services,
    paced_json,
)
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.vectors import EMBED, embed
from serve_app.ingress.validation.fields import Body, Count, ModelName, TextList, example

router = InferenceRouter(prefix="", tags=["cohere"], responses=ERRORS)

InputType: TypeAlias = Literal["search_document", "search_query", "classification", "clustering"]
EmbeddingType: TypeAlias = Literal["float", "base64", "binary", "ubinary"]

PROMPTS: Mapping[InputType, tuple[str, ...]] = {
    "search_query": ("query",),
    "search_document": ("document", "passage", "corpus"),
    "classification": ("classification",),
    "clustering": ("clustering",),
}
"""The names that sentence-transformers' models give their prompts for each use."""


class CohereEmbedBody(Body):
    """Texts to embed. ``input_type`` chooses a prompt, where the model was published with some."""

    model_config = example(
        all_readable("texts"), texts=["The cat sat on the mat."], input_type="search_document"
    )

    texts: TextList
    model: ModelName | None = None
    input_type: InputType | None = None
    embedding_types: Annotated[list[EmbeddingType], Field(min_length=1, max_length=4)] | None = None
    truncate: Literal["NONE", "END"] = Field("END", description="cut long texts, or refuse them")
    output_dimension: Count | None = None
    priority: Priority = None


class CohereVectors(BaseModel):
    """Vectors by type. ``binary`` and ``ubinary`` have one bit a dimension: whether it is > 0."""

    floats: list[list[float]] | None = Field(None, alias="float")
    base64: list[str] | None = None
    binary: list[list[int]] | None = None
    ubinary: list[list[int]] | None = None


class CohereEmbeddings(BaseModel):
    id: str
    texts: list[str]
    meta: Meta
    response_type: Literal["embeddings_by_type"]
    embeddings: CohereVectors


class CohereFloats(BaseModel):
    """What ``/v1/embed`` answers to a request without ``embedding_types``."""

    id: str
    texts: list[str]
    meta: Meta
    response_type: Literal["embeddings_floats"]
    embeddings: list[list[float]]


def _bits(vectors: Vectors) -> Any:
    return np.packbits(vectors > 0, axis=1)


ENCODINGS: Mapping[EmbeddingType, Callable[[Vectors], Any]] = {
    "float": list,
    "base64": lambda vectors: list(map(Base64, vectors)),
    "binary": lambda vectors: (_bits(vectors).astype(np.int16) - 128).tolist(),
    "ubinary": lambda vectors: _bits(vectors).tolist(),
}


@router.inference(
    "/v2/embed",
    EMBED,
    name="cohere_embed",
    summary="Cohere: texts as vectors",
    response_model=CohereEmbeddings,
)
async def cohere_embed(
    body: CohereEmbedBody, services: RequestServices, context: Context
) -> Response:
    """Vectors of length 1, by type: ``float`` unless ``embedding_types`` says otherwise."""
    embedded = await _embedded(body, services)
    return await paced_json(_by_type(body, embedded, context, "2"), services.turns)


@router.inference(
    "/v1/embed",
    EMBED,
    name="cohere_embed_v1",
    summary="Cohere: texts as vectors, by its first API",
    response_model=CohereEmbeddings | CohereFloats,
)
async def cohere_embed_v1(
    body: CohereEmbedBody, services: RequestServices, context: Context
) -> Response:
    """As ``/v2/embed``, but a bare list of vectors where no ``embedding_types`` are given."""
    embedded = await _embedded(body, services)
    if body.embedding_types is not None:
        return await paced_json(_by_type(body, embedded, context, "1"), services.turns)
    floats = {"response_type": "embeddings_floats", "embeddings": list(embedded.vectors)}
    return await paced_json(_head(body, embedded, context, "1") | floats, services.turns)


async def _embedded(body: CohereEmbedBody, services: Services) -> EmbeddingResult:
    card = await services.catalog.resolve(EMBED, body.model, "model")
    return await embed(
        services,
        card,
        tuple(body.texts),
        "texts",
        truncate=body.truncate != "NONE",
        dimensions=body.output_dimension,
        fields={"dimensions": "output_dimension"},
        preferred_prompts=PROMPTS[body.input_type] if body.input_type else (),
    )


def _by_type(
    body: CohereEmbedBody, embedded: EmbeddingResult, context: RequestContext, version: str
) -> dict[str, Any]:
    types: list[EmbeddingType] = body.embedding_types or ["float"]
    vectors = {each: ENCODINGS[each](embedded.vectors) for each in dict.fromkeys(types)}
    by_type = {"response_type": "embeddings_by_type", "embeddings": vectors}
    return _head(body, embedded, context, version) | by_type


def _head(
    body: CohereEmbedBody, embedded: EmbeddingResult, context: RequestContext, version: str
) -> dict[str, Any]:
    return {
        "id": context.request_id,
        "texts": body.texts,
        "meta": meta(version, input_tokens=sum(embedded.tokens)),
    }
