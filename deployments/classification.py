"""Classification: sequence classifiers, texts in, labels with their probabilities out.

Masked language models are here as well, since they are alike: one distribution for each text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.profile import ModelSpec
from deployments.encoders.interface import EncoderInfo, Network
from deployments.encoders.masked_words import fill_masks, open_masked
from deployments.encoders.text_encoders import RunBatch
from deployments.encoders.text_family import TextFamily
from deployments.encoders.tokenization import TokenizedText
from deployments.encoders.zero_shot import (
    SCORE_FUNCTIONS,
    Scores,
    entailment_columns,
    nli_pairs,
    probabilities_of_nli,
    ranked,
    score_labels,
)
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.seam.classification import (
    ClassificationRequest,
    ClassificationResult,
    ScoreFunction,
    ZeroShotRequest,
)
from deployments.seam.fill_mask import FillMaskRequest, FillMaskResult
from deployments.seam.problems import Problem

ZERO_SHOT = "zero_shot"

Logits: TypeAlias = npt.NDArray[np.float64]
"""One text's outputs, of shape (labels,)."""


class Classification(TextFamily[Any]):
    """The deployment of the classification family: sentiment, topics, inference (NLI), and masks.

    A model answers with :data:`Logits` or with a filled mask, depending on its head.
    """

    tasks: ClassVar[dict[str, str]] = {
        "sentiment": "labels the mood of texts, by labels of the model's own",
        "topic": "labels what texts are about, by labels of the model's own",
        ZERO_SHOT: "scores any labels against texts",
        "fill_mask": "finds words for a masked place in texts",
    }

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config, {"sequence": _logits_of, "masked": open_masked})

    @unavailable_as_problem
    async def classify(self, request: ClassificationRequest) -> ClassificationResult:
        """Every label of every text, best first."""
        async with self._models.use(request.model) as encoder:
            answers, tokens = await encoder.answer(request.texts, truncate=request.truncate)
        labels = encoder.info.labels
        scores_of = SCORE_FUNCTIONS[request.scores or _default_scores(encoder.info)]
        items = tuple(
            logits if isinstance(logits, Problem) else ranked(labels, scores_of(logits))
            for logits in answers
        )
        return ClassificationResult(items, tokens, tuple(labels))

    @unavailable_as_problem
    async def zero_shot(self, request: ZeroShotRequest) -> ClassificationResult | Problem:
        """Every given label of every text, best first, by how far the text entails it."""
        async with self._models.use(request.model) as encoder:
            columns = entailment_columns(encoder.info.labels)
            if columns is None:
                return Problem("internal", "the model is not one of inference")
            entails, contradicts = columns

            def probabilities(answers: Sequence[Logits]) -> Scores:
                logits = np.stack(answers)
                return probabilities_of_nli(
                    logits[:, entails], logits[:, contradicts], multi_label=request.multi_label
                )

            return await score_labels(encoder, nli_pairs(request), request, probabilities)

    @unavailable_as_problem
    async def fill_mask(self, request: FillMaskRequest) -> FillMaskResult | Problem:
        """The likeliest tokens for the mask of every text."""
        async with self._models.use(request.model) as encoder:
            return await fill_masks(encoder, request)


def _logits_of(network: Network, spec: ModelSpec) -> RunBatch[Logits]:
    labels = network.info.labels
    if ZERO_SHOT in spec.tasks and entailment_columns(labels) is None:
        raise ValueError(f"{spec.name} has no label for entailment: {list(labels)}")

    def run(batch: Sequence[TokenizedText]) -> list[Logits | Problem]:
        return list(network(batch).astype(np.float64))

    return run


def _default_scores(info: EncoderInfo) -> ScoreFunction:
    """Softmax over the labels, or a sigmoid of each for models that are multi-label."""
    return "sigmoid" if info.multi_label else "softmax"
