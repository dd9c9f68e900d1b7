"""``POST /score`` and ``/v1/score``: how well pairs of texts fit, as vLLM answers."""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import BaseModel
from starlette.responses import Response

from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Context, RequestServices, Services, json_response
from serve_app.ingress.routes.cosine import cosines
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.shapes import ERRORS, EmbeddingUsage
from serve_app.ingress.routes.ranked_documents import RERANK, rank_documents
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.routes.vectors import EMBED, embed, refuse
from serve_app.ingress.routes.vllm.fields import VllmBody, listed
from serve_app.ingress.validation.fields import Texts, example
from serve_app.ingress.validation.limits import check_count

router = InferenceRouter(prefix="", tags=["vllm"], responses=ERRORS)

MAX_QUERIES = 64
"""Different first texts of one request to a reranker: each is a call of its own."""


class ScoreBody(VllmBody):
    """One text and others to compare it with, or as many texts on both sides, pair by pair."""

    model_config = example(
        all_readable("text_1"),
        all_readable("text_2"),
        text_1="How many people live in Berlin?",
        text_2=["Berlin has 3.7 million inhabitants.", "Berlin has many museums."],
    )

    text_1: Texts
    text_2: Texts

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Raises ``ValidationFailed`` where the lengths do not fit."""
        firsts, seconds = texts_of(self.text_1), texts_of(self.text_2)
        if len(firsts) == 1:
            firsts = firsts * len(seconds)
        if len(firsts) != len(seconds):
            message = "text_1 has to be one text, or as many texts as text_2."
            raise ValidationFailed(message, field="text_1")
        return list(zip(firsts, seconds, strict=True))


class PairScore(BaseModel):
    index: int
    object: Literal["score"]
    score: float


class ScoreList(BaseModel):
    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[PairScore]
    usage: EmbeddingUsage


@router.inference(
    "/score",
    RERANK,
    EMBED,
    name="vllm_score",
    summary="vLLM: scores of pairs of texts",
    response_model=ScoreList,
)
@router.inference(
    "/v1/score",
    RERANK,
    EMBED,
    name="vllm_score_v1",
    summary="vLLM: the same",
    response_model=ScoreList,
)
async def vllm_score(body: ScoreBody, services: RequestServices, context: Context) -> Response:
    """Relevance from 0 to 1 by a reranker; the cosine where the model makes vectors."""
    task, card = await services.catalog.resolve_first((RERANK, EMBED), body.model, "model")
    pairs = body.pairs
    check_count(len(pairs), services.settings, "text_2")
    scored = _relevances if task == RERANK else _cosines
    scores, tokens = await scored(pairs, body, card, services)
    data = [{"index": i, "object": "score", "score": each} for i, each in enumerate(scores)]
    return json_response(listed("score", data, card.name, tokens, context))


async def _relevances(
    pairs: list[tuple[str, str]], body: ScoreBody, card: ModelCard, services: Services
) -> tuple[list[float], int]:
    places: dict[str, list[int]] = {}
    for place, (first, _) in enumerate(pairs):
        places.setdefault(first, []).append(place)
    if len(places) > MAX_QUERIES:
        message = f"text_1 has {len(places)} different texts; the limit is {MAX_QUERIES}."
        raise ValidationFailed(message, field="text_1")

    async def score(query: str, chosen: list[int]) -> tuple[dict[int, float], int]:
        documents = [pairs[place][1] for place in chosen]
        ranked = await rank_documents(
            query,
            documents,
            card,
            services,
            truncate=body.truncates,
            field="text_2",
            query_field="text_1",
        )
        refuse({chosen[i]: problem for i, problem in ranked.problems.items()}, "text_2")
        return {chosen[i]: ranked.relevance(i) for i in ranked.order}, ranked.tokens

    tasks = [asyncio.ensure_future(score(*each)) for each in places.items()]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    found = {place: value for scores, _ in answers for place, value in scores.items()}
    return [found[place] for place in range(len(pairs))], sum(tokens for _, tokens in answers)


async def _cosines(
    pairs: list[tuple[str, str]], body: ScoreBody, card: ModelCard, services: Services
) -> tuple[list[float], int]:
    firsts = texts_of(body.text_1)
    seconds = [second for _, second in pairs]
    names = (
        *(f"text_1.{i}" for i in range(len(firsts))),
        *(f"text_2.{i}" for i in range(len(seconds))),
    )
    embedded = await embed(
        services, card, (*firsts, *seconds), names, truncate=body.truncates, fields={}
    )
    ours, theirs = embedded.vectors[: len(firsts)], embedded.vectors[len(firsts) :]
    scores: list[float] = [
        float(cosines(theirs[i : i + 1], ours[i if len(firsts) > 1 else 0])[0])
        for i in range(len(seconds))
    ]
    return scores, sum(embedded.tokens)
