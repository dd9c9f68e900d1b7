"""Calls a model for the labels of texts with their scores, and shows zero-shot scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel

from deployments.seam.classification import (
    ClassificationRequest,
    ClassificationResult,
    LabelScore,
    ScoreFunction,
    ZeroShotRequest,
)
from deployments.seam.problems import Problem
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import NATIVE_FIELDS, Services
from serve_app.ingress.routes.text_items import FIELD, call_for_each, call_with_result
from serve_app.ingress.validation.fields import Answer

SENTIMENT, TOPIC, ZERO_SHOT = "sentiment", "topic", "zero_shot"

Ranking: TypeAlias = tuple[LabelScore, ...]
"""The labels of one text, best first."""


class Prediction(BaseModel):
    label: str
    score: float


class Predictions(BaseModel):
    text: str
    predictions: list[Prediction]
    top_prediction: Prediction


class PredictionsAnswer(Predictions, Answer):
    """One text's answer; in a list each is a bare ``Predictions``, or ``{error: ...}``."""


async def label_scores(
    texts: Sequence[str],
    card: ModelCard,
    services: Services,
    *,
    truncate: bool = False,
    scores: ScoreFunction | None = None,
    field: str = FIELD,
) -> list[Ranking | Problem]:
    """Every text's scores of the labels that the model was trained on, or why it has none."""
    items, _ = await labelled(texts, card, services, truncate=truncate, scores=scores, field=field)
    return items


async def labelled(
    texts: Sequence[str],
    card: ModelCard,
    services: Services,
    *,
    truncate: bool = False,
    scores: ScoreFunction | None = None,
    field: str = FIELD,
) -> tuple[list[Ranking | Problem], ClassificationResult | None]:
    """As :func:`label_scores`, with the model side's result; ``None`` if no text was read."""
    return await call_with_result(
        texts,
        card,
        services,
        "classify",
        lambda good: ClassificationRequest(card.name, good, truncate, scores),
        fields=NATIVE_FIELDS,
        field=field,
    )


async def zero_shot_scores(
    texts: Sequence[str],
    labels: Sequence[str],
    card: ModelCard,
    services: Services,
    *,
    multi_label: bool = False,
    truncate: bool = False,
    template: str | None = None,
    field: str = FIELD,
) -> list[Ranking | Problem]:
    """Every text's scores of the request's ``labels``, or why it has none.

    ``template`` makes a label a sentence by its ``{}``.
    """
    pairs, limit = len(texts) * len(labels), services.settings.max_pairs
    if pairs > limit:
        message = f"{len(texts)} texts with {len(labels)} labels are {pairs} pairs"
        raise ValidationFailed(f"{message}; the limit is {limit}.", field=field)

    def request_for(good: tuple[str, ...]) -> ZeroShotRequest:
        return ZeroShotRequest(card.name, good, tuple(labels), multi_label, template, truncate)

    return await call_for_each(
        texts, card, services, "zero_shot", request_for, fields=NATIVE_FIELDS, field=field
    )


def with_predictions(text: str, ranking: Ranking) -> dict[str, Any]:
    predictions = [{"label": each.label, "score": each.score} for each in ranking]
    return {"text": text, "predictions": predictions, "top_prediction": predictions[0]}
