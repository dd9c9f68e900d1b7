"""Classification: sequence classifiers, texts in, labels with their probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.profile import ModelSpec
from deployments.base import ModelUnavailable
from deployments.encoders import HEADS, EncoderFamily
from deployments.seam import (
    ClassificationRequest,
    Classified,
    LabelScore,
    Problem,
    ScoreFunction,
    ZeroShotRequest,
)
from deployments.texts import TokenizedText, pad, token_limit
from deployments.zero_shot import (
    SCORE_FUNCTIONS,
    chances_of_nli,
    entailment_columns,
    nli_pairs,
    problem_of,
    ranked,
)

AUTO_CLASS = "AutoModelForSequenceClassification"
ZERO_SHOT = "zero_shot"


@dataclass(frozen=True, slots=True)
class Head:
    """What a classifier's outputs stand for; ``several`` when a text may have several of them.

    ``entailment`` is where an NLI model has entailment and contradiction.
    """

    names: tuple[str, ...]
    several: bool
    entailment: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Logits:
    """One text's outputs, float64 of shape (labels,)."""

    head: Head
    values: npt.NDArray[np.float64]

    def ranked(self, scores: ScoreFunction | None = None) -> tuple[LabelScore, ...]:
        """Softmax over classes, or a sigmoid a class for models trained on several a text."""
        chosen = scores or ("sigmoid" if self.head.several else "softmax")
        return ranked(self.head.names, SCORE_FUNCTIONS[chosen](self.values))


class Classification(EncoderFamily[Logits]):
    """The deployment of the classification family: sentiment, topics, and inference (NLI)."""

    async def classify(self, request: ClassificationRequest) -> Classified | Problem:
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
        return Classified(ranked_items, tokens)

    async def zero_shot(self, request: ZeroShotRequest) -> Classified | Problem:
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
        return Classified(tuple(_entailed(row, request) for row in rows), tokens)

    def load(self, folder: Path, spec: ModelSpec) -> tuple[Any, int, Any]:
        tokenizer, model, device = self._opened(AUTO_CLASS, folder, spec, unquantised=HEADS)
        head = _head(model.config)
        if ZERO_SHOT in spec.tasks and head.entailment is None:
            raise ValueError(f"{spec.name} has no label for entailment: {list(head.names)}")

        def run(batch: Sequence[TokenizedText]) -> list[Logits | Problem]:
            return _forward(model, head, pad(tokenizer, batch, device))

        return tokenizer, token_limit(tokenizer, model), run


def _head(config: Any) -> Head:
    names = tuple(str(config.id2label[i]) for i in range(len(config.id2label)))
    several = config.problem_type == "multi_label_classification"
    return Head(names, several, entailment_columns(names))


def _forward(model: Any, head: Head, features: dict[str, Any]) -> list[Logits | Problem]:
    import torch

    with torch.inference_mode():
        logits = model(**features).logits.double().cpu().numpy()
    return [Logits(head, row) for row in logits]


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
    chances = chances_of_nli(entailed, contradicted, multi_label=request.multi_label)
    return ranked(request.labels, chances)
