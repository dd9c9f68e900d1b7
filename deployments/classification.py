"""Classification: sequence classifiers, texts in, labels with their probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from configs import engines
from configs.profile import ModelSpec
from deployments.encoders.interface import EncoderInfo, Network
from deployments.encoders.network_family import Answering, NetworkFamily
from deployments.encoders.tokenization import TokenizedText
from deployments.encoders.zero_shot import (
    SCORE_FUNCTIONS,
    entailment_columns,
    nli_pairs,
    probabilities_of_nli,
    problem_of,
    ranked,
)
from deployments.models.errors import ModelUnavailable
from deployments.seam.classification import (
    ClassificationRequest,
    ClassificationResult,
    LabelScore,
    ScoreFunction,
    ZeroShotRequest,
)
from deployments.seam.problems import Problem

ZERO_SHOT = "zero_shot"


@dataclass(frozen=True, slots=True)
class ClassifierHead:
    """What a classifier's outputs stand for; ``multi_label`` when a text may have several.

    ``entailment`` is where an NLI model has entailment and contradiction.
    """

    names: tuple[str, ...]
    multi_label: bool
    entailment: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Logits:
    """One text's outputs, float64 of shape (labels,)."""

    head: ClassifierHead
    values: npt.NDArray[np.float64]

    def ranked(self, scores: ScoreFunction | None = None) -> tuple[LabelScore, ...]:
        """Softmax over classes, or a sigmoid a class for models that are multi-label."""
        chosen = scores or ("sigmoid" if self.head.multi_label else "softmax")
        return ranked(self.head.names, SCORE_FUNCTIONS[chosen](self.values))


class Classification(NetworkFamily[Logits]):
    """The deployment of the classification family: sentiment, topics, and inference (NLI)."""

    tasks: ClassVar[dict[str, str]] = {
        "sentiment": "labels the mood of texts, by labels of the model's own",
        "topic": "labels what texts are about, by labels of the model's own",
        ZERO_SHOT: "scores any labels against texts",
    }
    head: ClassVar[engines.ModelHead] = "sequence"

    async def classify(self, request: ClassificationRequest) -> ClassificationResult | Problem:
        """Every label of every text, best first."""
        try:
            async with self._residency.use(request.model) as encoder:
                answers, tokens = await self._answers(
                    encoder, request.texts, truncate=request.truncate
                )
        except ModelUnavailable as error:
            return error.problem
        ranked_items = tuple(
            a if isinstance(a, Problem) else a.ranked(request.scores) for a in answers
        )
        return ClassificationResult(ranked_items, tokens)

    async def zero_shot(self, request: ZeroShotRequest) -> ClassificationResult | Problem:
        """Every given label of every text, best first, by how far the text entails it."""
        try:
            async with self._residency.use(request.model) as encoder:
                pairs = nli_pairs(request)
                answers, tokens = await self._pair_answers(
                    encoder, pairs, truncate=request.truncate
                )
        except ModelUnavailable as error:
            return error.problem
        width = len(request.labels)
        rows = [answers[start : start + width] for start in range(0, len(answers), width)]
        return ClassificationResult(tuple(_entailed(row, request) for row in rows), tokens)

    def answering(self, network: Network, spec: ModelSpec) -> Answering[Logits]:
        head = _head(network.info)
        if ZERO_SHOT in spec.tasks and head.entailment is None:
            raise ValueError(f"{spec.name} has no label for entailment: {list(head.names)}")

        def run(batch: Sequence[TokenizedText]) -> list[Logits | Problem]:
            return [Logits(head, row) for row in network(batch).astype(np.float64)]

        return run


def _head(info: EncoderInfo) -> ClassifierHead:
    return ClassifierHead(info.labels, info.multi_label, entailment_columns(info.labels))


def _entailed(
    row: Sequence[Logits | Problem], request: ZeroShotRequest
) -> tuple[LabelScore, ...] | Problem:
    """The labels of one text from the logits of its pairs."""
    scored = [answer for answer in row if isinstance(answer, Logits)]
    columns = scored[0].head.entailment if scored else None
    if (problem := problem_of(row)) is not None or columns is None:
        return problem or Problem("internal", "the model is not one of inference")
    logits = np.stack([answer.values for answer in scored])
    entailed, contradicted = logits[:, columns[0]], logits[:, columns[1]]
    probabilities = probabilities_of_nli(entailed, contradicted, multi_label=request.multi_label)
    return ranked(request.labels, probabilities)
