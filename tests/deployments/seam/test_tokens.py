"""Every result that counts tokens tells them in the same way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deployments.seam.captioning import CaptionResult
from deployments.seam.classification import ClassificationResult
from deployments.seam.embeddings import ClusterResult, EmbeddingResult
from deployments.seam.entities import EntityResult
from deployments.seam.generation import GeneratedSequence, GenerationResult
from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankResult
from deployments.seam.summarization import Summary, SummaryResult

VECTORS = np.zeros((2, 3), np.float32)
PROBLEM = Problem("validation", "too long")


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        (EmbeddingResult(VECTORS, (3, 4)), (7, 0)),
        (ClusterResult((0, 1), VECTORS, tokens=(3, 4)), (7, 0)),
        (RerankResult((0.5, PROBLEM), (3, 0)), (3, 0)),
        (ClassificationResult(((), ()), (3, 4)), (7, 0)),
        (ClassificationResult(((),)), (0, 0)),
        (EntityResult(((), ()), (3, 4)), (7, 0)),
        (SummaryResult((Summary("a", 3, 2), PROBLEM, Summary("b", 4, 1))), (7, 3)),
        (CaptionResult("a", 2), (0, 2)),
        (
            GenerationResult(
                5, (GeneratedSequence("a", "stop", 2), GeneratedSequence("b", "length", 3))
            ),
            (5, 5),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_tells_the_tokens_read_and_written(result: Any, counts: tuple[int, int]) -> None:
    assert result.token_counts == counts
