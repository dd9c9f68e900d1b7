"""The request and the result of reranking documents."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """Documents to score against a query. ``truncate`` cuts documents, never the query.

    Documents with more than ``max_document_tokens`` are cut to that length first.
    """

    model: str
    query: str
    documents: tuple[str, ...]
    truncate: bool = False
    max_document_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class RerankResult(CountsPromptTokens):
    """For each document, in order, its raw score (a logit) or a problem.

    ``tokens`` has the tokens of the query and each document together.
    """

    items: tuple[float | Problem, ...]
    tokens: tuple[int, ...]
