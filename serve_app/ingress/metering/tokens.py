"""How many tokens an answer of the model side says were read and written."""

from __future__ import annotations

from typing import Any, NamedTuple

from deployments.seam.captioning import Caption
from deployments.seam.classification import ClassificationResult
from deployments.seam.embeddings import ClusterResult, EmbeddingResult
from deployments.seam.entities import EntityResult
from deployments.seam.generation import GenerationResult
from deployments.seam.reranking import RerankResult
from deployments.seam.summarization import Summary, SummaryResult


class Tokens(NamedTuple):
    read: int
    written: int


def tokens_of(answer: Any) -> Tokens:
    """Zero where an answer counts none, as those about images do."""
    match answer:
        case GenerationResult():
            return Tokens(answer.prompt_tokens, sum(choice.tokens for choice in answer.choices))
        case (
            EmbeddingResult()
            | ClusterResult()
            | RerankResult()
            | ClassificationResult()
            | EntityResult()
        ):
            return Tokens(sum(answer.tokens), 0)
        case SummaryResult():
            done = [item for item in answer.items if isinstance(item, Summary)]
            read, written = (item.prompt_tokens for item in done), (item.tokens for item in done)
            return Tokens(sum(read), sum(written))
        case Caption():
            return Tokens(0, answer.tokens)
    return Tokens(0, 0)
