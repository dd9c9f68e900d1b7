"""Reranking: cross-encoders, a query and documents in, one score a document out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from configs.engines import ModelHead
from configs.profile import ModelSpec
from deployments.encoders.family import Encoder
from deployments.encoders.interface import Network
from deployments.encoders.network_family import Answering, NetworkFamily
from deployments.encoders.tokenization import Pairs, TokenizedText, too_long_sides
from deployments.encoders.zero_shot import (
    probabilities_of_relevance,
    problem_of,
    query_pairs,
    ranked,
)
from deployments.models.errors import ModelUnavailable
from deployments.seam.classification import ClassificationResult, LabelScore, ZeroShotRequest
from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankRequest, RerankResult


class Reranking(NetworkFamily[float]):
    """The deployment of the reranking family; it can also stand in for an NLI model."""

    tasks: ClassVar[dict[str, str]] = {
        "rerank": "orders documents by relevance to a query",
        "zero_shot": "scores any labels against texts",
    }
    head: ClassVar[ModelHead] = "sequence"

    async def rerank(self, request: RerankRequest) -> RerankResult | Problem:
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
        return RerankResult(tuple(answers), counts)

    async def zero_shot(self, request: ZeroShotRequest) -> ClassificationResult | Problem:
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
        return ClassificationResult(tuple(_relevant(row, request) for row in rows), tokens)

    def answering(self, network: Network, spec: ModelSpec) -> Answering[float]:
        if (outputs := len(network.info.labels)) != 1:
            raise ValueError(f"{spec.name} has {outputs} outputs; a reranker has 1")

        def run(batch: Sequence[TokenizedText]) -> list[float | Problem]:
            scores: list[float | Problem] = network(batch)[:, 0].tolist()
            return scores

        return run


def _query_problem(encoder: Encoder[float], query: str) -> Problem | None:
    """A query that leaves no room for any document is at fault itself."""
    problem = too_long_sides(encoder.tokenizer, [query], encoder.max_tokens).get(query)
    return None if problem is None else replace(problem, field="query")


def _relevant(
    row: Sequence[float | Problem], request: ZeroShotRequest
) -> tuple[LabelScore, ...] | Problem:
    if (problem := problem_of(row)) is not None:
        return problem
    scores = np.array(row, dtype=np.float64)
    probabilities = probabilities_of_relevance(scores, multi_label=request.multi_label)
    return ranked(request.labels, probabilities)
