"""Embeddings and clusters across the seam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens

Vectors: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed. ``batch_size`` bounds the texts of one forward of this request.

    ``prompt_name`` is one of the prompts that the model was published with: it goes before each.
    ``None`` is the model's default prompt, where it has one.
    """

    model: str
    texts: tuple[str, ...]
    normalize: bool = True
    truncate: bool = False
    batch_size: int | None = None
    dimensions: int | None = None
    prompt_name: str | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingResult(CountsPromptTokens):
    """``vectors`` is float32 of shape (texts, dimensions), ``tokens`` what each text counted.

    A text with an entry in ``problems`` has a row of zeros.
    """

    vectors: Vectors
    tokens: tuple[int, ...]
    problems: Mapping[int, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    embedding: EmbeddingRequest
    n_clusters: int

    @property
    def model(self) -> str:
        return self.embedding.model


@dataclass(frozen=True, slots=True)
class ClusterResult(CountsPromptTokens):
    """``labels`` is one cluster a text; ``centers`` float32 of shape (clusters, dimensions)."""

    labels: tuple[int, ...]
    centers: Vectors
    problems: Mapping[int, Problem] = field(default_factory=dict)
    tokens: tuple[int, ...] = ()
