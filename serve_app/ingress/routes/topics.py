"""``POST /topics``: what texts are about."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from configs.labels import ZeroShotLabels
from serve_app.ingress.routes.context import Context, RequestServices, TaskResult
from serve_app.ingress.routes.huggingface.classification import hub_tasks
from serve_app.ingress.routes.label_scores import (
    TOPIC,
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


class TopicsBody(TruncatableTextsBody):
    """One text for one answer, a list for a list of them."""

    model_config = example(texts="The striker scored twice in the final.")

    labels: ZeroShotLabels | None = Field(None, description="1 to 64 topics of your own")


class Topic(BaseModel):
    text: str
    category: str
    confidence: float


class TopicAnswer(Topic, Answer):
    """One text's answer; in a list each is a bare ``Topic``, or ``{error: ...}``."""


@router.task(
    "/topics",
    TOPIC,
    ZERO_SHOT,
    step="topics",
    answer=TopicAnswer | PredictionsAnswer | list[Topic | Predictions | ItemError],
    summary="What texts are about",
)
async def topics(body: TopicsBody, services: RequestServices, context: Context) -> TaskResult:
    """``{text, category, confidence}``; with labels the same as ``/classify`` with labels.

    Without labels a topic model answers where one is configured, else the topics of the setting
    ``topics`` are scored.
    """
    texts = texts_of(body.texts)
    tasks = (TOPIC, ZERO_SHOT) if body.labels is None else (ZERO_SHOT,)
    task, card = await services.catalog.resolve_first(tasks, body.model_name)
    if task == TOPIC:
        items = await label_scores(texts, card, services, truncate=body.truncate)
        return object_or_list(body.texts, items, _with_category, card.name)
    labels = body.labels or services.settings.topics
    items = await zero_shot_scores(texts, labels, card, services, truncate=body.truncate)
    show = _with_category if body.labels is None else with_predictions
    return object_or_list(body.texts, items, show, card.name)


def _with_category(text: str, ranking: Ranking) -> dict[str, Any]:
    return {"text": text, "category": ranking[0].label, "confidence": ranking[0].score}
