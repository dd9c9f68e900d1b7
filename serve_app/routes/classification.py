"""``POST /classify``: the sentiment of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from deployments.seam import ClassificationRequest, Classified, LabelScore, Problem
from serve_app.body import JsonRoute
from serve_app.catalog import ModelCard
from serve_app.errors import from_problem, item_error
from serve_app.fields import Answer, Body, ModelName, Texts, example
from serve_app.limits import check_count, text_problem
from serve_app.routes.embeddings import Truncate
from serve_app.routes.services import NATIVE_PREFIX, Asking, Served, Services

router = APIRouter(prefix=NATIVE_PREFIX, tags=["classification"], route_class=JsonRoute)

TASK = "sentiment"
FIELDS = {"model": "model_name"}


class ClassifyBody(Body):
    """One text for one answer, a list for a list of them."""

    model_config = example(texts=["I want my money back", "my new favourite album"])

    texts: Texts
    model_name: ModelName | None = None
    truncate: Truncate = False


class Sentiment(BaseModel):
    text: str
    sentiment: str
    confidence: float


class SentimentAnswer(Sentiment, Answer):
    """One text's answer; in a list each is a bare ``Sentiment``, or ``{error: ...}``."""


class ItemError(BaseModel):
    error: dict[str, str]


@router.post(
    "/classify",
    summary="Sentiment of texts",
    response_model=SentimentAnswer | list[Sentiment | ItemError],
)
async def classify(body: ClassifyBody, served: Served, asking: Asking) -> Response:
    """``{text, sentiment, confidence}`` for a text; in a list, a bad text fails alone."""
    card = served.catalog.resolve(TASK, body.model_name)
    texts = [body.texts] if isinstance(body.texts, str) else body.texts
    check_count(len(texts), served.settings, "texts")
    items = await _classified(texts, card, body.truncate, served)
    if isinstance(body.texts, str):
        if isinstance(items[0], Problem):
            raise from_problem(Problem(items[0].kind, items[0].message, "texts"))
        return asking.answer(_shown(body.texts, items[0]), card.name)
    shown = [
        item_error(from_problem(item)) if isinstance(item, Problem) else _shown(text, item)
        for text, item in zip(texts, items, strict=True)
    ]
    return asking.bare_list(shown, card.name)


async def _classified(
    texts: Sequence[str], card: ModelCard, truncate: bool, served: Services
) -> list[tuple[LabelScore, ...] | Problem]:
    """An answer or a problem a text; what the ingress refuses never reaches the model."""
    items: list[Any] = [text_problem(text, served.settings) for text in texts]
    good = [index for index, problem in enumerate(items) if problem is None]
    if good:
        request = ClassificationRequest(card.name, tuple(texts[i] for i in good), truncate)
        answer: Classified = await served.calls.ask(card.family, "classify", request, FIELDS)
        for index, item in zip(good, answer.items, strict=True):
            items[index] = item
    return items


def _shown(text: str, labels: tuple[LabelScore, ...]) -> dict[str, Any]:
    return {"text": text, "sentiment": labels[0].label, "confidence": labels[0].score}
