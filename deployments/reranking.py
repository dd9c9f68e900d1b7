"""Reranking: cross-encoders, a query and documents in, one score a document out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.profile import ModelSpec
from deployments.base import ModelUnavailable
from deployments.encoders import HEADS, Encoder, EncoderFamily
from deployments.seam import (
    Classified,
    LabelScore,
    Problem,
    Reranked,
    RerankRequest,
    ZeroShotRequest,
)
from deployments.texts import Pairs, TokenizedText, crowding, pad, token_limit
from deployments.zero_shot import chances_of_relevance, problem_of, query_pairs, ranked

AUTO_CLASS = "AutoModelForSequenceClassification"


class Reranking(EncoderFamily[float]):
    """The deployment of the reranking family; it can also stand in for an NLI model."""

    async def rerank(self, request: RerankRequest) -> Reranked | Problem:
        """The raw score of every document with the query, in order."""
        queries = (request.query,) * len(request.documents)
        pairs = Pairs(queries, request.documents, "second", "the query and the document")
        try:
            async with self._residency.use(request.model) as encoder:
                problem = await self._in_thread(_query_problem, encoder, request.query)
                if problem is not None:
                    return problem
                answers, counts = await self._pair_answers(
                    encoder, pairs, truncate=request.truncate
                )
        except ModelUnavailable as error:
            return error.problem
        return Reranked(tuple(answers), counts)

    async def zero_shot(self, request: ZeroShotRequest) -> Classified | Problem:
        """Every given label of every text, best first, by how relevant the text is to it."""
        try:
            async with self._residency.use(request.model) as encoder:
                pairs = query_pairs(request)
                answers, tokens = await self._pair_answers(
                    encoder, pairs, truncate=request.truncate
                )
        except ModelUnavailable as error:
            return error.problem
        width = len(request.labels)
        rows = [answers[start : start + width] for start in range(0, len(answers), width)]
        return Classified(tuple(_relevant(row, request) for row in rows), tokens)

    def load(self, folder: Path, spec: ModelSpec) -> tuple[Any, int, Any]:
        tokenizer, model, device = self._opened(AUTO_CLASS, folder, spec, unquantised=HEADS)
        if model.config.num_labels != 1:
            raise ValueError(f"{spec.name} has {model.config.num_labels} outputs; a reranker has 1")

        def run(batch: Sequence[TokenizedText]) -> list[float | Problem]:
            return _forward(model, pad(tokenizer, batch, device))

        return tokenizer, token_limit(tokenizer, model), run


def _forward(model: Any, features: dict[str, Any]) -> list[float | Problem]:
    import torch

    with torch.inference_mode():
        scores: list[float | Problem] = model(**features).logits[:, 0].float().cpu().tolist()
    return scores


def _query_problem(encoder: Encoder[float], query: str) -> Problem | None:
    """A query that leaves no room for any document is at fault itself."""
    problem = crowding(encoder.tokenizer, [query], encoder.max_tokens).get(query)
    return None if problem is None else replace(problem, field="query")


def _relevant(
    row: Sequence[float | Problem], request: ZeroShotRequest
) -> tuple[LabelScore, ...] | Problem:
    if (problem := problem_of(row)) is not None:
        return problem
    scores = np.array(row, dtype=np.float64)
    chances = chances_of_relevance(scores, multi_label=request.multi_label)
    return ranked(request.labels, chances)
