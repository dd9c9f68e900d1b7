"""Embeddings: sentence-transformers models, texts in, vectors out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.profile import ModelSpec
from deployments.base import FamilyConfig, ModelUnavailable, claim_device, load_options
from deployments.encoders import EncoderFamily
from deployments.memory import own_weights
from deployments.seam import (
    Clustered,
    ClusterRequest,
    Embedded,
    EmbeddingRequest,
    Problem,
    Vectors,
)
from deployments.texts import TokenizedText, pad


class Embeddings(EncoderFamily[Vectors]):
    """The deployment of the embeddings family."""

    libraries = ("sentence_transformers",)

    def __init__(self, config: FamilyConfig) -> None:
        self._clustering = asyncio.Lock()
        self._prompts: dict[str, dict[str, str]] = {}  # filled while the base loads what is pinned
        super().__init__(config)

    async def embed(self, request: EmbeddingRequest) -> Embedded | Problem:
        """Vectors of ``request.texts``, in order; zeros where a text has a problem of its own."""
        try:
            async with self._residency.use(request.model) as encoder:
                prompt = self._prompt(request)
                if isinstance(prompt, Problem):
                    return prompt
                answers, counts = await self._answers(
                    encoder,
                    [prompt + text for text in request.texts],
                    truncate=request.truncate,
                    batch_size=request.batch_size,
                )
        except ModelUnavailable as error:
            return error.problem
        return _embedded(answers, counts, request)

    async def cluster(self, request: ClusterRequest) -> Clustered | Problem:
        """k-means over the texts' vectors (scikit-learn's, with ``random_state`` 42)."""
        embedded = await self.embed(request.embedding)
        if isinstance(embedded, Problem):
            return embedded
        if embedded.problems:
            return Clustered((), embedded.vectors[:0], embedded.problems)
        # Not on the tokenizing thread, which others wait for; one at a time, since each is long.
        async with self._clustering:
            clustered = await asyncio.to_thread(_k_means, embedded.vectors, request.n_clusters)
        return replace(clustered, tokens=embedded.tokens)

    def load(self, folder: Path, spec: ModelSpec) -> tuple[Any, int, Any]:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules.normalize import Normalize

        device = claim_device(self._config)
        options = load_options(self._config, spec, device)
        model = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=options.pop("trust_remote_code"),
            model_kwargs=options,
        ).eval()
        own_weights(model)
        self._prompts[spec.name] = {name: text or "" for name, text in model.prompts.items()}
        # Whether vectors are normalised is for the request to say, not for the checkpoint.
        modules = [module for module in model if not isinstance(module, Normalize)]

        def run(batch: Sequence[TokenizedText]) -> list[Vectors | Problem]:
            return _forward(modules, pad(model.tokenizer, batch, device))

        return model.tokenizer, int(model.get_max_seq_length() or 512), run

    def _prompt(self, request: EmbeddingRequest) -> str | Problem:
        """What the request wants before each of its texts."""
        if request.prompt_name is None:
            return ""
        prompts = self._prompts[request.model]
        if request.prompt_name not in prompts:
            known = ", ".join(sorted(prompts)) or "none"
            message = f"the model has no prompt {request.prompt_name[:100]!r}; it has: {known}"
            return Problem("validation", message, "prompt_name")
        return prompts[request.prompt_name]


def _forward(modules: Sequence[Any], features: Any) -> list[Vectors | Problem]:
    """One float32 vector of shape (dimensions,) a text."""
    import torch

    with torch.inference_mode():
        for module in modules:
            features = module(features)
        return list(features["sentence_embedding"].float().cpu().numpy())


def _embedded(
    answers: Sequence[Vectors | Problem], counts: tuple[int, ...], request: EmbeddingRequest
) -> Embedded | Problem:
    problems = {i: answer for i, answer in enumerate(answers) if isinstance(answer, Problem)}
    good = {i: answer for i, answer in enumerate(answers) if not isinstance(answer, Problem)}
    width = len(next(iter(good.values()))) if good else 0
    vectors = np.zeros((len(answers), width), np.float32)
    for i, vector in good.items():
        vectors[i] = vector
    if request.dimensions is not None and width:
        if request.dimensions > width:
            message = f"the model's vectors have {width} dimensions"
            return Problem("validation", message, "dimensions")
        vectors = vectors[:, : request.dimensions]
    return Embedded(_unit(vectors) if request.normalize else vectors, counts, problems)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit


def _k_means(vectors: Vectors, n_clusters: int) -> Clustered:
    from sklearn.cluster import KMeans

    fitted = KMeans(n_clusters=n_clusters, random_state=42, n_init=1).fit(vectors)
    labels = tuple(int(label) for label in fitted.labels_)
    return Clustered(labels, fitted.cluster_centers_.astype(np.float32))
