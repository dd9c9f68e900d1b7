"""Native routes over vectors: ``/embeddings``, ``/similarity``, ``/search``, ``/cluster``."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from deployments.seam.embeddings import ClusterRequest, ClusterResult, EmbeddingRequest
from serve_app.ingress.documentation.rules import all_readable, unless_given
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import NATIVE_FIELDS, Context, RequestServices, TaskResult
from serve_app.ingress.routes.cosine import cosine, cosines
from serve_app.ingress.routes.huggingface.embeddings import hub_tasks
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.vectors import EMBED, check_text, check_texts, embed, refuse
from serve_app.ingress.validation import fields
from serve_app.ingress.validation.bounded_json import MAX_NUMBERS
from serve_app.ingress.validation.limits import check_count

router = NativeRouter("embeddings")
router.hub_tasks.add(hub_tasks)

MAX_DIMENSIONS = 65_536
CLUSTERS = 5
DIRECTED = {"contains": {"not": {"const": 0}}}
"""Of a vector: one of zeros alone has no direction."""

Vector = Annotated[
    list[float],
    Field(min_length=1, max_length=MAX_DIMENSIONS, fail_fast=True, json_schema_extra=DIRECTED),
]
TextOrVector = Annotated[
    Annotated[fields.Readable, fields.TEXT] | Annotated[Vector, fields.LIST], fields.TEXT_OR_LIST
]


class EmbeddingsBody(fields.Body):
    """Texts to embed: one string for one flat vector, a list for a list of vectors."""

    model_config = fields.example(
        all_readable("texts"), texts=["The cat sat on the mat.", "Stocks fell sharply."]
    )

    texts: fields.Texts
    model_name: fields.ModelName | None = None
    normalize: bool = Field(True, description="scale every vector to length 1")
    batch_size: Annotated[int, Field(ge=1, le=2048)] | None = None
    truncate: fields.Truncate = False


class SimilarityBody(fields.Body):
    """Two texts, two vectors, or one of each."""

    model_config = fields.example(text1="a cat", text2="a kitten")

    max_values = MAX_NUMBERS

    text1: TextOrVector
    text2: TextOrVector
    model_name: fields.ModelName | None = None
    truncate: fields.Truncate = False


class SearchBody(fields.Body):
    """Candidates to rank by their similarity to a query."""

    model_config = fields.example(
        all_readable("candidate_texts"),
        query_text="a pet",
        candidate_texts=["a kitten", "a share"],
        top_k=1,
    )

    query_text: fields.Readable
    candidate_texts: fields.TextList
    top_k: fields.Count = 5
    model_name: fields.ModelName | None = None
    truncate: fields.Truncate = False


class ClusterBody(fields.Body):
    """Texts to group by k-means over their vectors."""

    model_config = fields.example(
        all_readable("texts"),
        unless_given("n_clusters", texts={"minItems": CLUSTERS}),
        texts=["cat", "kitten", "share", "bond"],
        n_clusters=2,
    )

    texts: fields.TextList
    n_clusters: fields.Count = CLUSTERS
    model_name: fields.ModelName | None = None
    truncate: fields.Truncate = False


class EmbeddingsAnswer(fields.Answer):
    embeddings: list[float] | list[list[float]]


class SimilarityAnswer(fields.Answer):
    similarity: float


class FoundText(BaseModel):
    text: str
    similarity: float
    index: int


class SearchAnswer(fields.Answer):
    results: list[FoundText]


class Member(BaseModel):
    text: str
    index: int


class ClusterAnswer(fields.Answer):
    clusters: dict[str, list[Member]]
    cluster_centers: list[list[float]]
    n_clusters: int


@router.task(
    "/embeddings", EMBED, step="embeddings", answer=EmbeddingsAnswer, summary="Texts as vectors"
)
async def embeddings(
    body: EmbeddingsBody, services: RequestServices, context: Context
) -> TaskResult:
    """``embeddings`` is one flat vector for a single string, else a list of them, in order."""
    single = isinstance(body.texts, str)
    texts = (body.texts,) if isinstance(body.texts, str) else tuple(body.texts)
    card = await services.catalog.resolve(EMBED, body.model_name)
    embedded = await embed(
        services,
        card,
        texts,
        "texts",
        normalize=body.normalize,
        truncate=body.truncate,
        batch_size=body.batch_size,
    )
    vectors = embedded.vectors[0] if single else embedded.vectors
    return TaskResult({"embeddings": vectors}, card.name)


@router.task(
    "/similarity",
    EMBED,
    step="similarity",
    answer=SimilarityAnswer,
    summary="How alike two texts or vectors are",
)
async def similarity(
    body: SimilarityBody, services: RequestServices, context: Context
) -> TaskResult:
    """Cosine similarity, from -1 to 1."""
    card = await services.catalog.resolve(EMBED, body.model_name)
    given = {"text1": body.text1, "text2": body.text2}
    vectors = {name: np.asarray(v, np.float64) for name, v in given.items() if isinstance(v, list)}
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    if texts:
        for name, text in texts.items():
            check_text(text, services, name)
        named = tuple(texts.values())
        embedded = await embed(services, card, named, tuple(texts), truncate=body.truncate)
        vectors |= dict(zip(texts, embedded.vectors.astype(np.float64), strict=True))
    return TaskResult({"similarity": cosine(vectors["text1"], vectors["text2"])}, card.name)


@router.task(
    "/search", EMBED, step="search", answer=SearchAnswer, summary="Candidates nearest to a query"
)
async def search(body: SearchBody, services: RequestServices, context: Context) -> TaskResult:
    """The ``top_k`` candidates, best first, with their place in the request."""
    card = await services.catalog.resolve(EMBED, body.model_name)
    check_text(body.query_text, services, "query_text")
    check_count(len(body.candidate_texts), services.settings, "candidate_texts")
    names = ("query_text", *(f"candidate_texts.{i}" for i in range(len(body.candidate_texts))))
    texts = (body.query_text, *body.candidate_texts)
    embedded = await embed(services, card, texts, names, truncate=body.truncate)
    scores = cosines(embedded.vectors[1:], embedded.vectors[0])
    best = np.argsort(-scores, kind="stable")[: body.top_k]
    results = [
        {"text": body.candidate_texts[i], "similarity": float(scores[i]), "index": int(i)}
        for i in best
    ]
    return TaskResult({"results": results}, card.name)


@router.task("/cluster", EMBED, step="cluster", answer=ClusterAnswer, summary="Texts in groups")
async def cluster(body: ClusterBody, services: RequestServices, context: Context) -> TaskResult:
    """Clusters by label, each with its texts and their places in the request.

    There are never more of them than different texts: ``n_clusters`` is how many there are.
    """
    card = await services.catalog.resolve(EMBED, body.model_name)
    check_count(len(body.texts), services.settings, "texts")
    if body.n_clusters > len(body.texts):
        message = f"n_clusters is {body.n_clusters}, but there are {len(body.texts)} texts."
        raise ValidationFailed(message, field="n_clusters")
    await check_texts(services, card, tuple(body.texts), "texts", truncate=body.truncate)
    texts = EmbeddingRequest(card.name, tuple(body.texts), truncate=body.truncate)
    request = ClusterRequest(texts, body.n_clusters)
    clustered: ClusterResult = await services.client.call(
        card.family, "cluster", request, NATIVE_FIELDS
    )
    refuse(clustered.problems, "texts")
    clusters: dict[str, list[dict[str, Any]]] = {}
    for index, label in enumerate(clustered.labels):
        clusters.setdefault(str(label), []).append({"text": body.texts[index], "index": index})
    answer = {
        "clusters": dict(sorted(clusters.items(), key=lambda item: int(item[0]))),
        "cluster_centers": clustered.centers,
        "n_clusters": len(clusters),
    }
    return TaskResult(answer, card.name)
