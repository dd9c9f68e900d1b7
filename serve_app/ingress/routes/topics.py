"""``POST /topics``: what texts are about."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from configs.labels import ZeroShotLabels
from deployments.seam.classification import LabelScore
from serve_app.ingress.routes import zero_shot
from serve_app.ingress.routes.classification import classified
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services, TaskResult
from serve_app.ingress.routes.embeddings import Truncate
from serve_app.ingress.routes.items import ItemError, listed, shown
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import Answer, Body, ModelName, Texts, example

router = NativeRouter("classification")

TASK = "topic"


class TopicsBody(Body):
    """One text for one answer, a list for a list of them."""

    model_config = example(texts="The striker scored twice in the final.")

    texts: Texts
    labels: ZeroShotLabels | None = Field(None, description="1 to 64 topics of your own")
    model_name: ModelName | None = None
    truncate: Truncate = False


class Topic(BaseModel):
    text: str
    category: str
    confidence: float


class TopicAnswer(Topic, Answer):
    """One text's answer; in a list each is a bare ``Topic``, or ``{error: ...}``."""


@router.post(
    "/topics",
    summary="What texts are about",
    response_model=TopicAnswer
    | zero_shot.PredictionsAnswer
    | list[Topic | zero_shot.Predictions | ItemError],
)
async def topics_route(body: TopicsBody, served: Served, context: Context) -> Response:
    """``{text, category, confidence}``; with labels the same as ``/classify`` with labels.

    Without labels a topic model answers where one is configured, else the topics of the setting
    ``topics`` are scored.
    """
    return context.respond(await topics(body, served, context))


@router.task("topics", TopicsBody, TASK, zero_shot.TASK)
async def topics(body: TopicsBody, served: Services, context: RequestContext) -> TaskResult:
    texts = listed(body.texts)
    tasks = (TASK, zero_shot.TASK) if body.labels is None else (zero_shot.TASK,)
    task, card = served.catalog.resolve_first(tasks, body.model_name)
    if task == TASK:
        items = await classified(texts, card, served, truncate=body.truncate)
        return shown(body.texts, items, _with_category, card.name)
    labels = body.labels or served.settings.topics
    items = await zero_shot.scored(texts, labels, card, served, truncate=body.truncate)
    show = _with_category if body.labels is None else zero_shot.with_predictions
    return shown(body.texts, items, show, card.name)


def _with_category(text: str, labels: tuple[LabelScore, ...]) -> dict[str, Any]:
    return {"text": text, "category": labels[0].label, "confidence": labels[0].score}
