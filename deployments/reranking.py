"""Reranking: cross-encoders, a query and documents in, one score a document out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from configs.profile import ModelSpec
from deployments.encoders.interface import Network
from deployments.encoders.text_encoders import RunBatch, TextEncoder
from deployments.encoders.text_family import TextFamily
from deployments.encoders.tokenization import Pairs, TokenizedText, cut_texts, too_long_sides
from deployments.encoders.zero_shot import (
    Scores,
    probabilities_of_relevance,
    query_pairs,
    score_labels,
)
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.seam.classification import ClassificationResult, ZeroShotRequest
from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankRequest, RerankResult


class Reranking(TextFamily[float]):
    """The deployment of the reranking family; it can also stand in for an NLI model."""

    tasks: ClassVar[dict[str, str]] = {
        "rerank": "orders documents by relevance to a query",
        "zero_shot": "scores any labels against texts",
    }

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config, {"sequence": _scores_of})

    @unavailable_as_problem
    async def rerank(self, request: RerankRequest) -> RerankResult | Problem:
        """The raw score of every document with the query, in order."""
        queries = (request.query,) * len(request.documents)
        async with self._models.use(request.model) as encoder:
            problem = await encoder.batcher.in_thread(_query_problem, encoder, request.query)
            if problem is not None:
                return problem
            documents = await _bounded_documents(encoder, request)
            pairs = Pairs(queries, documents, "second", "the query and the document")
            scores, tokens = await encoder.answer_pairs(pairs, truncate=request.truncate)
        return RerankResult(tuple(scores), tokens)

    @unavailable_as_problem
    async def zero_shot(self, request: ZeroShotRequest) -> ClassificationResult:
        """Every given label of every text, best first, by how relevant the text is to it."""

        def probabilities(answers: Sequence[float]) -> Scores:
            scores = np.array(answers, dtype=np.float64)
            return probabilities_of_relevance(scores, multi_label=request.multi_label)

        async with self._models.use(request.model) as encoder:
            return await score_labels(encoder, query_pairs(request), request, probabilities)


def _scores_of(network: Network, spec: ModelSpec) -> RunBatch[float]:
    if (outputs := len(network.info.labels)) != 1:
        raise ValueError(f"{spec.name} has {outputs} outputs; a reranker has 1")

    def run(batch: Sequence[TokenizedText]) -> list[float | Problem]:
        scores: list[float | Problem] = network(batch)[:, 0].tolist()
        return scores

    return run


async def _bounded_documents(
    encoder: TextEncoder[float], request: RerankRequest
) -> tuple[str, ...]:
    """The documents, each cut to the request's ``max_document_tokens``, if it has some."""
    tokens = request.max_document_tokens
    if tokens is None or tokens >= encoder.max_tokens:
        return request.documents
    return await encoder.batcher.in_thread(cut_texts, encoder.tokenizer, request.documents, tokens)


def _query_problem(encoder: TextEncoder[float], query: str) -> Problem | None:
    """A query that leaves no room for any document is at fault itself."""
    problem = too_long_sides(encoder.tokenizer, [query], encoder.max_tokens).get(query)
    return None if problem is None else replace(problem, field="query")
