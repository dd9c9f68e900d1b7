"""The router of the perplexity family: ``POST /perplexity``, and a step of graphs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from serve_app.ingress.routes.context import Context, RequestServices, TaskResult
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.text_items import ItemError, call_for_each, object_or_list, texts_of
from serve_app.ingress.validation.fields import Answer, Body, ModelName, Texts, example
from tests.toy.perplexity import PerplexityRequest

router = NativeRouter("perplexity")

PERPLEXITY = "perplexity"


class PerplexityBody(Body):
    """One text for one answer, a list for a list of them."""

    model_config = example(texts=["The cat sat on the mat."])

    texts: Texts
    model_name: ModelName | None = None
    truncate: bool = False


class TextPerplexity(BaseModel):
    text: str
    perplexity: float


class PerplexityAnswer(TextPerplexity, Answer):
    """One text's answer; in a list each is a bare ``TextPerplexity``, or ``{error: ...}``."""


@router.task(
    "/perplexity",
    PERPLEXITY,
    step="perplexity",
    answer=PerplexityAnswer | list[TextPerplexity | ItemError],
    summary="How well a model expects texts",
)
async def perplexity(
    body: PerplexityBody, services: RequestServices, context: Context
) -> TaskResult:
    """``{text, perplexity}``; 1 is best. In a list a bad text fails alone."""
    card = await services.catalog.resolve(PERPLEXITY, body.model_name)

    def request_for(texts: tuple[str, ...]) -> PerplexityRequest:
        return PerplexityRequest(card.name, texts, body.truncate)

    items = await call_for_each(texts_of(body.texts), card, services, "measure", request_for)
    return object_or_list(body.texts, items, _with_perplexity, card.name)


def _with_perplexity(text: str, value: float) -> dict[str, Any]:
    return {"text": text, "perplexity": value}
