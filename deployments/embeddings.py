"""Embeddings: sentence-transformers models, texts in, vectors out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import numpy as np

from configs.profile import ModelSpec
from deployments.encoders.interface import EncoderInfo, Network
from deployments.encoders.text_encoders import RunBatch
from deployments.encoders.text_family import TextFamily
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.seam.embeddings import (
    ClusterRequest,
    ClusterResult,
    EmbeddingRequest,
    EmbeddingResult,
    Vectors,
)
from deployments.seam.problems import Problem

EQUAL_DECIMALS = 6
"""Vectors that agree to so many decimals belong to texts with the same tokens."""


class Embeddings(TextFamily[Vectors]):
    """The deployment of the embeddings family."""

    tasks: ClassVar[dict[str, str]] = {"embed": "makes vectors of texts"}

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config, {"embedding": _vectors_of})
        self._clustering = asyncio.Lock()

    @unavailable_as_problem
    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult | Problem:
        """Vectors of ``request.texts``, in order; zeros where a text has a problem of its own."""
        async with self._models.use(request.model) as encoder:
            prompt = _prompt(encoder.info, request)
            if isinstance(prompt, Problem):
                return prompt
            answers, tokens = await encoder.answer(
                [prompt.text + text for text in request.texts],
                truncate=request.truncate,
                max_batch_size=request.batch_size,
                unpooled=prompt.unpooled,
            )
        return _result(answers, tokens, request, encoder.info.dimensions)

    async def cluster(self, request: ClusterRequest) -> ClusterResult | Problem:
        """k-means over the texts' vectors (scikit-learn's, with ``random_state`` 42).

        There are no more clusters than different texts.
        """
        embedded = await self.embed(request.embedding)
        if isinstance(embedded, Problem):
            return embedded
        if embedded.problems:
            return ClusterResult((), embedded.vectors[:0], embedded.problems)
        # Not in the preprocessing thread, which others wait for. One at a time, since each is long.
        async with self._clustering:
            vectors = _one_for_equal_texts(request.embedding.texts, embedded.vectors)
            clustered = await asyncio.to_thread(_k_means, vectors, request.n_clusters)
        return replace(clustered, tokens=embedded.tokens)


def _vectors_of(network: Network, spec: ModelSpec) -> RunBatch[Vectors]:
    return lambda batch: list(network(batch))


class _Prompt(NamedTuple):
    """The text before each text, and how many of its tokens are not pooled."""

    text: str = ""
    unpooled: int = 0


def _prompt(info: EncoderInfo, request: EmbeddingRequest) -> _Prompt | Problem:
    """The prompt that the request names or prefers, else the model's for all texts."""
    preferred = (name for name in request.preferred_prompts if info.prompts.get(name))
    default = next(preferred, info.default_prompt)
    name = default if request.prompt_name is None else request.prompt_name
    if name is None:
        return _Prompt()
    if name not in info.prompts:
        known = ", ".join(sorted(info.prompts)) or "none"
        message = f"the model has no prompt {name[:100]!r}; it has: {known}"
        return Problem("validation", message, "prompt_name")
    return _Prompt(info.prompts[name], info.prompt_tokens.get(name, 0))


def _result(
    answers: Sequence[Vectors | Problem],
    tokens: tuple[int, ...],
    request: EmbeddingRequest,
    default_dimensions: int | None,
) -> EmbeddingResult | Problem:
    """All vectors in one array, cut to the dimensions of the request or of the model."""
    problems = {i: answer for i, answer in enumerate(answers) if isinstance(answer, Problem)}
    good = {i: answer for i, answer in enumerate(answers) if not isinstance(answer, Problem)}
    width = len(next(iter(good.values()))) if good else 0
    vectors = np.zeros((len(answers), width), np.float32)
    for i, vector in good.items():
        vectors[i] = vector
    if request.dimensions is not None and 0 < width < request.dimensions:
        message = f"the model's vectors have {width} dimensions"
        return Problem("validation", message, "dimensions")
    vectors = vectors[:, : request.dimensions or default_dimensions]
    return EmbeddingResult(_unit(vectors) if request.normalize else vectors, tokens, problems)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit


def _one_for_equal_texts(texts: Sequence[str], vectors: Vectors) -> Vectors:
    """One vector for equal texts: in different batches they may differ by rounding."""
    first: dict[str, int] = {}
    return vectors[[first.setdefault(text, i) for i, text in enumerate(texts)]]


def _k_means(vectors: Vectors, n_clusters: int) -> ClusterResult:
    """Labels from 0, each of them used, and one center a label."""
    from sklearn.cluster import KMeans

    different = len(np.unique(vectors.round(EQUAL_DECIMALS), axis=0))
    fitted = KMeans(min(n_clusters, different), random_state=42, n_init=1).fit(vectors)
    used, labels = np.unique(fitted.labels_, return_inverse=True)
    centers = fitted.cluster_centers_[used].astype(np.float32)
    return ClusterResult(tuple(labels.tolist()), centers)
