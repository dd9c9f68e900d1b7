"""Reranking across the seam."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """Documents to score against a query; ``truncate`` cuts documents, never the query."""

    model: str
    query: str
    documents: tuple[str, ...]
    truncate: bool = False


@dataclass(frozen=True, slots=True)
class RerankResult(CountsPromptTokens):
    """One raw score (a logit) a document, in order; ``tokens`` is what query and document count."""

    items: tuple[float | Problem, ...]
    tokens: tuple[int, ...]
