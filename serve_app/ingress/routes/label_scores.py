"""Texts scored against labels that come with the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel

from deployments.seam.classification import ClassificationResult, LabelScore, ZeroShotRequest
from deployments.seam.problems import Problem
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.items import answered
from serve_app.ingress.validation.fields import Answer


class Prediction(BaseModel):
    label: str
    score: float


class Predictions(BaseModel):
    text: str
    predictions: list[Prediction]
    top_prediction: Prediction


class PredictionsAnswer(Predictions, Answer):
    """One text's answer; in a list each is a bare ``Predictions``, or ``{error: ...}``."""


TASK = "zero_shot"
FIELDS = {"model": "model_name"}
Ranking: TypeAlias = tuple[LabelScore, ...]


async def scored(
    texts: Sequence[str],
    labels: Sequence[str],
    card: ModelCard,
    served: Services,
    *,
    multi_label: bool = False,
    truncate: bool = False,
    template: str | None = None,
    field: str = "texts",
) -> list[Ranking | Problem]:
    """The labels of every text, best first, or why it has none."""
    pairs, limit = len(texts) * len(labels), served.settings.max_pairs
    if pairs > limit:
        message = f"{len(texts)} texts with {len(labels)} labels are {pairs} pairs"
        raise ValidationFailed(f"{message}; the limit is {limit}.", field=field)

    async def ask(good: tuple[str, ...]) -> Sequence[Ranking | Problem]:
        request = ZeroShotRequest(
            card.name,
            good,
            tuple(labels),
            multi_label=multi_label,
            template=template,
            truncate=truncate,
        )
        answer: ClassificationResult = await served.client.ask(
            card.family, "zero_shot", request, FIELDS
        )
        return answer.items

    return await answered(texts, served.settings, ask)


def with_predictions(text: str, ranking: Ranking) -> dict[str, Any]:
    predictions = [{"label": each.label, "score": each.score} for each in ranking]
    return {"text": text, "predictions": predictions, "top_prediction": predictions[0]}
