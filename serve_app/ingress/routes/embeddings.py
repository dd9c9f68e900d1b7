"""Native routes over vectors: ``/embeddings``, ``/similarity``, ``/search``, ``/cluster``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field
from starlette.responses import Response

from deployments.seam.embeddings import (
    ClusterRequest,
    ClusterResult,
    EmbeddingRequest,
    EmbeddingResult,
)
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.documentation.rules import all_readable, unless_given
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services, TaskResult
from serve_app.ingress.routes.cosine import cosine, cosines
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.bounded_json import MAX_NUMBERS
from serve_app.ingress.validation.fields import (
    LIST,
    TEXT,
    TEXT_OR_LIST,
    Answer,
    Body,
    Count,
    ModelName,
    Readable,
    TextList,
    Texts,
    example,
)
from serve_app.ingress.validation.limits import (
    check_count,
    check_prompt,
    check_readable,
    text_problem,
)

router = NativeRouter("embeddings")

TASK = "embed"
FIELDS = {"model": "model_name"}
MAX_DIMENSIONS = 65_536
CLUSTERS = 5
DIRECTED = {"contains": {"not": {"const": 0}}}
"""Of a vector: one of zeros alone has no direction."""

Vector = Annotated[
    list[float],
    Field(min_length=1, max_length=MAX_DIMENSIONS, fail_fast=True, json_schema_extra=DIRECTED),
]
TextOrVector = Annotated[Annotated[Readable, TEXT] | Annotated[Vector, LIST], TEXT_OR_LIST]
Truncate = Annotated[bool, Field(description="cut texts that are too long instead of refusing")]


class EmbeddingsBody(Body):
    """Texts to embed: one string for one flat vector, a list for a list of vectors."""

    model_config = example(
        all_readable("texts"), texts=["The cat sat on the mat.", "Stocks fell sharply."]
    )

    texts: Texts
    model_name: ModelName | None = None
    normalize: bool = Field(True, description="scale every vector to length 1")
    batch_size: Annotated[int, Field(ge=1, le=2048)] | None = None
    truncate: Truncate = False


class SimilarityBody(Body):
    """Two texts, two vectors, or one of each."""

    model_config = example(text1="a cat", text2="a kitten")

    max_values = MAX_NUMBERS

    text1: TextOrVector
    text2: TextOrVector
    model_name: ModelName | None = None
    truncate: Truncate = False


class SearchBody(Body):
    """Candidates to rank by their similarity to a query."""

    model_config = example(
        all_readable("candidate_texts"),
        query_text="a pet",
        candidate_texts=["a kitten", "a share"],
        top_k=1,
    )

    query_text: Readable
    candidate_texts: TextList
    top_k: Count = 5
    model_name: ModelName | None = None
    truncate: Truncate = False


class ClusterBody(Body):
    """Texts to group by k-means over their vectors."""

    model_config = example(
        all_readable("texts"),
        unless_given("n_clusters", texts={"minItems": CLUSTERS}),
        texts=["cat", "kitten", "share", "bond"],
        n_clusters=2,
    )

    texts: TextList
    n_clusters: Count = CLUSTERS
    model_name: ModelName | None = None
    truncate: Truncate = False


class EmbeddingsAnswer(Answer):
    embeddings: list[float] | list[list[float]]


class SimilarityAnswer(Answer):
    similarity: float


class FoundText(BaseModel):
    text: str
    similarity: float
    index: int


class SearchAnswer(Answer):
    results: list[FoundText]


class Member(BaseModel):
    text: str
    index: int


class ClusterAnswer(Answer):
    clusters: dict[str, list[Member]]
    cluster_centers: list[list[float]]
    n_clusters: int


@router.post("/embeddings", summary="Texts as vectors", response_model=EmbeddingsAnswer)
async def embeddings_route(body: EmbeddingsBody, served: Served, context: Context) -> Response:
    """``embeddings`` is one flat vector for a single string, else a list of them, in order."""
    return context.respond(await embeddings(body, served, context))


@router.task("embeddings", EmbeddingsBody, TASK)
async def embeddings(body: EmbeddingsBody, served: Services, context: RequestContext) -> TaskResult:
    single = isinstance(body.texts, str)
    texts = (body.texts,) if isinstance(body.texts, str) else tuple(body.texts)
    card = served.catalog.resolve(TASK, body.model_name)
    embedded = await embed(
        served, card, texts, "texts", body.normalize, body.truncate, body.batch_size
    )
    vectors = embedded.vectors[0] if single else embedded.vectors
    return TaskResult({"embeddings": vectors}, card.name)


@router.post(
    "/similarity", summary="How alike two texts or vectors are", response_model=SimilarityAnswer
)
async def similarity_route(body: SimilarityBody, served: Served, context: Context) -> Response:
    """Cosine similarity, from -1 to 1."""
    return context.respond(await similarity(body, served, context))


@router.task("similarity", SimilarityBody, TASK)
async def similarity(body: SimilarityBody, served: Services, context: RequestContext) -> TaskResult:
    card = served.catalog.resolve(TASK, body.model_name)
    given = {"text1": body.text1, "text2": body.text2}
    vectors = {name: np.asarray(v, np.float64) for name, v in given.items() if isinstance(v, list)}
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    if texts:
        for name, text in texts.items():
            check_text(text, served, name)
        named = tuple(texts.values())
        embedded = await embed(served, card, named, tuple(texts), True, body.truncate)
        vectors |= dict(zip(texts, embedded.vectors.astype(np.float64), strict=True))
    return TaskResult({"similarity": cosine(vectors["text1"], vectors["text2"])}, card.name)


@router.post("/search", summary="Candidates nearest to a query", response_model=SearchAnswer)
async def search_route(body: SearchBody, served: Served, context: Context) -> Response:
    """The ``top_k`` candidates, best first, with their place in the request."""
    return context.respond(await search(body, served, context))


@router.task("search", SearchBody, TASK)
async def search(body: SearchBody, served: Services, context: RequestContext) -> TaskResult:
    card = served.catalog.resolve(TASK, body.model_name)
    check_text(body.query_text, served, "query_text")
    check_count(len(body.candidate_texts), served.settings, "candidate_texts")
    names = ("query_text", *(f"candidate_texts.{i}" for i in range(len(body.candidate_texts))))
    texts = (body.query_text, *body.candidate_texts)
    embedded = await embed(served, card, texts, names, True, body.truncate)
    scores = cosines(embedded.vectors[1:], embedded.vectors[0])
    best = np.argsort(-scores, kind="stable")[: body.top_k]
    results = [
        {"text": body.candidate_texts[i], "similarity": float(scores[i]), "index": int(i)}
        for i in best
    ]
    return TaskResult({"results": results}, card.name)


@router.post("/cluster", summary="Texts in groups", response_model=ClusterAnswer)
async def cluster_route(body: ClusterBody, served: Served, context: Context) -> Response:
    """Clusters by label, each with its texts and their places in the request.

    There are never more of them than different texts: ``n_clusters`` is how many there are.
    """
    return context.respond(await cluster(body, served, context))


@router.task("cluster", ClusterBody, TASK)
async def cluster(body: ClusterBody, served: Services, context: RequestContext) -> TaskResult:
    card = served.catalog.resolve(TASK, body.model_name)
    check_count(len(body.texts), served.settings, "texts")
    if body.n_clusters > len(body.texts):
        message = f"n_clusters is {body.n_clusters}, but there are {len(body.texts)} texts."
        raise ValidationFailed(message, field="n_clusters")
    await _refuse_unreadable(served, card, tuple(body.texts), "texts", body.truncate)
    texts = EmbeddingRequest(card.name, tuple(body.texts), truncate=body.truncate)
    request = ClusterRequest(texts, body.n_clusters)
    clustered: ClusterResult = await served.client.call(card.family, "cluster", request, FIELDS)
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


async def embed(
    served: Services,
    card: ModelCard,
    texts: tuple[str, ...],
    field: str | tuple[str, ...],
    normalize: bool = True,
    truncate: bool = False,
    batch_size: int | None = None,
    dimensions: int | None = None,
    fields: Mapping[str, str] = FIELDS,
    prompt_name: str | None = None,
) -> EmbeddingResult:
    """The texts' vectors, or a 400 that names every text that cannot have one.

    ``field`` is the request's list of texts, or the name of each text's own field; ``fields`` is
    what the route calls the seam's other ones.
    """
    if isinstance(field, str):
        check_count(len(texts), served.settings, field)
    await _refuse_unreadable(served, card, texts, field, truncate, fields)
    request = EmbeddingRequest(
        card.name, texts, normalize, truncate, batch_size, dimensions, prompt_name
    )
    embedded: EmbeddingResult = await served.client.call(card.family, "embed", request, fields)
    refuse(embedded.problems, field)
    return embedded


def check_text(text: str, served: Services, field: str) -> None:
    check_prompt(text, served.settings, field)
    check_readable(text, field)


def refuse(problems: Any, field: str | tuple[str, ...]) -> None:
    """A 400 naming every item at fault: a vector's place in a list can hold no error."""
    if not problems:
        return
    named = {
        (f"{field}.{index}" if isinstance(field, str) else field[index]): problem.message
        for index, problem in sorted(problems.items())
    }
    message = "; ".join(f"{name}: {text}" for name, text in list(named.items())[:20])
    raise ValidationFailed(message, field=next(iter(named)), details={"field_errors": named})


async def _refuse_unreadable(
    served: Services,
    card: ModelCard,
    texts: tuple[str, ...],
    field: str | tuple[str, ...],
    truncate: bool,
    fields: Mapping[str, str] = FIELDS,
) -> None:
    """A 400 for texts that no model reads. It names those as well that this model would refuse.

    So one answer tells of every text at fault, and the next request can be a good one.
    """
    found = {index: text_problem(text, served.settings) for index, text in enumerate(texts)}
    problems = {index: problem for index, problem in found.items() if problem is not None}
    readable = [index for index in found if index not in problems]
    if problems and readable:
        given = tuple(texts[index] for index in readable)
        request = EmbeddingRequest(card.name, given, truncate=truncate)
        embedded: EmbeddingResult = await served.client.call(card.family, "embed", request, fields)
        problems |= {readable[index]: each for index, each in embedded.problems.items()}
    refuse(problems, field)
