"""``POST /classify``: the sentiment of texts, or how well labels of one's own fit them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from configs.labels import ZeroShotLabels
from deployments.seam.classification import (
    ClassificationRequest,
    ClassificationResult,
    LabelScore,
    ScoreFunction,
)
from deployments.seam.problems import Problem
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.documentation.rules import ITEMS, TRUE, when
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes import zero_shot
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services, TaskResult
from serve_app.ingress.routes.embeddings import Truncate
from serve_app.ingress.routes.items import ItemError, answered, listed, shown
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import Answer, Body, ModelName, Texts, example

router = NativeRouter("classification")

TASK = "sentiment"
FIELDS = {"model": "model_name"}


class ClassifyBody(Body):
    """One text for one answer, a list for a list of them."""

    model_config = example(
        when({"multi_label": TRUE}, needs={"labels": ITEMS}),
        texts=["I want my money back", "my new favourite album"],
    )

    texts: Texts
    labels: ZeroShotLabels | None = Field(None, description="1 to 64 labels of your own: zero-shot")
    multi_label: bool = Field(False, description="score each label by itself; needs labels")
    model_name: ModelName | None = None
    truncate: Truncate = False


class Sentiment(BaseModel):
    text: str
    sentiment: str
    confidence: float


class SentimentAnswer(Sentiment, Answer):
    """One text's answer; in a list each is a bare ``Sentiment``, or ``{error: ...}``."""


@router.post(
    "/classify",
    summary="Sentiment of texts, or labels of your own",
    response_model=SentimentAnswer
    | zero_shot.PredictionsAnswer
    | list[Sentiment | zero_shot.Predictions | ItemError],
)
async def classify_route(body: ClassifyBody, served: Served, context: Context) -> Response:
    """Without labels ``{text, sentiment, confidence}``, with them ``{text, predictions, ...}``.

    In a list a bad text fails alone.
    """
    return context.respond(await classify(body, served, context))


@router.task("classify", ClassifyBody, TASK, zero_shot.TASK)
async def classify(body: ClassifyBody, served: Services, context: RequestContext) -> TaskResult:
    texts = listed(body.texts)
    if body.labels is None:
        if body.multi_label:
            raise ValidationFailed("multi_label has no effect without labels.", field="multi_label")
        card = served.catalog.resolve(TASK, body.model_name)
        items = await classified(texts, card, served, truncate=body.truncate)
        return shown(body.texts, items, _with_sentiment, card.name)
    card = served.catalog.resolve(zero_shot.TASK, body.model_name)
    items = await zero_shot.scored(
        texts, body.labels, card, served, multi_label=body.multi_label, truncate=body.truncate
    )
    return shown(body.texts, items, zero_shot.with_predictions, card.name)


async def classified(
    texts: Sequence[str],
    card: ModelCard,
    served: Services,
    *,
    truncate: bool,
    scores: ScoreFunction | None = None,
) -> list[tuple[LabelScore, ...] | Problem]:
    """The labels that the model was trained on, best first, or why a text has none."""

    async def ask(good: tuple[str, ...]) -> Sequence[tuple[LabelScore, ...] | Problem]:
        request = ClassificationRequest(card.name, good, truncate, scores)
        answer: ClassificationResult = await served.client.call(
            card.family, "classify", request, FIELDS
        )
        return answer.items

    return await answered(texts, served.settings, ask)


def _with_sentiment(text: str, labels: tuple[LabelScore, ...]) -> dict[str, Any]:
    return {"text": text, "sentiment": labels[0].label, "confidence": labels[0].score}
