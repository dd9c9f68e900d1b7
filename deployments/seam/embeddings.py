"""Requests and results of embedding and of clustering texts."""

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
    """Texts to embed. ``batch_size`` bounds how many of them share a forward.

    ``prompt_name`` names one of the prompts that the model was published with, which is put before
    each text. Without it the first of ``preferred_prompts`` that the model has is used, else the
    model's default prompt, if it has one.
    """

    model: str
    texts: tuple[str, ...]
    normalize: bool = True
    truncate: bool = False
    batch_size: int | None = None
    dimensions: int | None = None
    prompt_name: str | None = None
    preferred_prompts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingResult(CountsPromptTokens):
    """``vectors`` is float32 of shape (texts, dimensions), ``tokens`` has the tokens of each text.

    A text with an entry in ``problems``, by its index, has a row of zeros.
    """

    vectors: Vectors
    tokens: tuple[int, ...]
    problems: Mapping[int, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """Texts to embed and to divide into ``n_clusters`` clusters."""

    embedding: EmbeddingRequest
    n_clusters: int

    @property
    def model(self) -> str:
        return self.embedding.model


@dataclass(frozen=True, slots=True)
class ClusterResult(CountsPromptTokens):
    """``labels`` has the cluster of each text; ``centers`` is float32 of (clusters, dimensions)."""

    labels: tuple[int, ...]
    centers: Vectors
    problems: Mapping[int, Problem] = field(default_factory=dict)
    tokens: tuple[int, ...] = ()
