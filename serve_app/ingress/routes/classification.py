"""``POST /classify``: the sentiment of texts, or how well labels of one's own fit them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from configs.labels import ZeroShotLabels
from serve_app.ingress.documentation.rules import ITEMS, TRUE, when
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import Context, RequestServices, TaskResult
from serve_app.ingress.routes.huggingface.classification import hub_tasks
from serve_app.ingress.routes.label_scores import (
    SENTIMENT,
    ZERO_SHOT,
    Predictions,
    PredictionsAnswer,
    Ranking,
    label_scores,
    with_predictions,
    zero_shot_scores,
)
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.text_items import (
    ItemError,
    TruncatableTextsBody,
    object_or_list,
    texts_of,
)
from serve_app.ingress.validation.fields import Answer, example

router = NativeRouter("classification")
router.hub_tasks.add(hub_tasks)


class ClassifyBody(TruncatableTextsBody):
    """One text for one answer, a list for a list of them."""

    model_config = example(
        when({"multi_label": TRUE}, needs={"labels": ITEMS}),
        texts=["I want my money back", "my new favourite album"],
    )

    labels: ZeroShotLabels | None = Field(None, description="1 to 64 labels of your own: zero-shot")
    multi_label: bool = Field(False, description="score each label by itself; needs labels")


class Sentiment(BaseModel):
    text: str
    sentiment: str
    confidence: float


class SentimentAnswer(Sentiment, Answer):
    """One text's answer; in a list each is a bare ``Sentiment``, or ``{error: ...}``."""


@router.task(
    "/classify",
    SENTIMENT,
    ZERO_SHOT,
    step="classify",
    answer=SentimentAnswer | PredictionsAnswer | list[Sentiment | Predictions | ItemError],
    summary="Sentiment of texts, or labels of your own",
)
async def classify(body: ClassifyBody, services: RequestServices, context: Context) -> TaskResult:
    """Without labels ``{text, sentiment, confidence}``, with them ``{text, predictions, ...}``.

    In a list a bad text fails alone.
    """
    texts = texts_of(body.texts)
    if body.labels is None:
        if body.multi_label:
            raise ValidationFailed("multi_label has no effect without labels.", field="multi_label")
        card = await services.catalog.resolve(SENTIMENT, body.model_name)
        items = await label_scores(texts, card, services, truncate=body.truncate)
        return object_or_list(body.texts, items, _with_sentiment, card.name)
    card = await services.catalog.resolve(ZERO_SHOT, body.model_name)
    items = await zero_shot_scores(
        texts, body.labels, card, services, multi_label=body.multi_label, truncate=body.truncate
    )
    return object_or_list(body.texts, items, with_predictions, card.name)


def _with_sentiment(text: str, ranking: Ranking) -> dict[str, Any]:
    return {"text": text, "sentiment": ranking[0].label, "confidence": ranking[0].score}
