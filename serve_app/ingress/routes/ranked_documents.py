"""Calls a model for the relevance of documents to a query, and ranks them by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankRequest, RerankResult
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import NATIVE_FIELDS, Services
from serve_app.ingress.routes.vectors import check_text
from serve_app.ingress.validation.limits import check_count, text_problem

RERANK = "rerank"


@dataclass(frozen=True, slots=True)
class RankedDocuments:
    """``order`` has the indices of the scored documents, best first; ``scores`` are logits.

    ``problems`` has the documents that have no score; ``tokens`` counts what was read.
    """

    order: tuple[int, ...]
    scores: dict[int, float]
    problems: dict[int, Problem]
    tokens: int

    def relevance(self, index: int) -> float:
        """From 0 to 1: the sigmoid of the logit. Sorting is by logits, which do not saturate."""
        return 0.5 * (1.0 + math.tanh(0.5 * self.scores[index]))


async def rank_documents(
    query: str,
    documents: Sequence[str],
    card: ModelCard,
    services: Services,
    *,
    truncate: bool,
    max_document_tokens: int | None = None,
    field: str = "documents",
    query_field: str = "query",
) -> RankedDocuments:
    """Every document's score, or why it has none. Raises for a query that cannot be read.

    Documents are cut to ``max_document_tokens``; ``field`` and ``query_field`` are the
    route's names.
    """
    check_text(query, services, query_field)
    check_count(len(documents), services.settings, field)
    found = {i: text_problem(text, services.settings) for i, text in enumerate(documents)}
    problems = {i: problem for i, problem in found.items() if problem is not None}
    good = [i for i in found if i not in problems]
    scores: dict[int, float] = {}
    tokens = 0
    if good:
        chosen = tuple(documents[i] for i in good)
        request = RerankRequest(card.name, query, chosen, truncate, max_document_tokens)
        result: RerankResult = await services.client.call(
            card.family, "rerank", request, {**NATIVE_FIELDS, "query": query_field}
        )
        tokens = sum(result.tokens)
        for i, item in zip(good, result.items, strict=True):
            if isinstance(item, Problem):
                problems[i] = item
            else:
                scores[i] = item
    order = tuple(sorted(scores, key=lambda i: scores[i], reverse=True))
    return RankedDocuments(order, scores, problems, tokens)
