"""``POST /fill-mask``: words for the masked place in a text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from deployments.seam.fill_mask import TokenPrediction
from serve_app.ingress.routes.context import NATIVE_FIELDS, Context, RequestServices, TaskResult
from serve_app.ingress.routes.huggingface.fill_mask import hub_tasks
from serve_app.ingress.routes.masked_words import FILL_MASK, TOP_K, TopTokens, fill_masks
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.text_items import (
    ItemError,
    TruncatableTextsBody,
    object_or_list,
    texts_of,
)
from serve_app.ingress.validation.fields import Answer, example

router = NativeRouter("fill mask")
router.hub_tasks.add(hub_tasks)


class FillMaskBody(TruncatableTextsBody):
    """One text for one answer, a list for a list of them. Each has the model's mask token once."""

    model_config = example(texts="Paris is the [MASK] of France.", top_k=3)

    top_k: TopTokens = TOP_K


class PredictedToken(BaseModel):
    """``sequence`` is the text as the model reads it, with the token in the place of the mask."""

    token: str
    score: float
    sequence: str


class FilledText(BaseModel):
    text: str
    predictions: list[PredictedToken]


class FillMaskAnswer(FilledText, Answer):
    """One text's answer; in a list each is a bare ``FilledText``, or ``{error: ...}``."""


@router.task(
    "/fill-mask",
    FILL_MASK,
    step="fill_mask",
    answer=FillMaskAnswer | list[FilledText | ItemError],
    summary="Words for a masked place",
)
async def fill_mask(body: FillMaskBody, services: RequestServices, context: Context) -> TaskResult:
    """``{text, predictions: [{token, score, sequence}]}``, the ``top_k`` likeliest first.

    In a list a text without exactly one mask fails alone.
    """
    card = await services.catalog.resolve(FILL_MASK, body.model_name)
    items = await fill_masks(
        texts_of(body.texts),
        card,
        services,
        top_k=body.top_k,
        truncate=body.truncate,
        fields=NATIVE_FIELDS,
    )
    return object_or_list(body.texts, items, _with_predictions, card.name)


def _with_predictions(text: str, found: tuple[TokenPrediction, ...]) -> dict[str, Any]:
    predictions = [
        {"token": each.token, "score": each.score, "sequence": each.sequence} for each in found
    ]
    return {"text": text, "predictions": predictions}
