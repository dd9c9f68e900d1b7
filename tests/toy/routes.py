"""The toy family's router: ``POST /spell``, a step of graphs, and a task of Hugging Face's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from deployments.seam.problems import Problem
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import (
    Context,
    RequestContext,
    RequestServices,
    Services,
    TaskResult,
)
from serve_app.ingress.routes.huggingface.text_inputs import FIELD, input_answers
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.text_items import (
    ItemError,
    TextsBody,
    call_for_each,
    object_or_list,
    texts_of,
)
from serve_app.ingress.validation.fields import Answer, Body, Texts, example
from tests.toy.spelling import SpellingRequest

router = NativeRouter("spelling")

SPELL = "spell"


class SpellBody(TextsBody):
    model_config = example(texts="stressed")


class SpelledText(BaseModel):
    text: str
    spelled: str


class SpelledAnswer(SpelledText, Answer):
    """One text's answer; in a list each is a bare ``SpelledText``, or ``{error: ...}``."""


class HubSpellBody(Body):
    inputs: Texts


@router.task(
    "/spell",
    SPELL,
    step="spell",
    answer=SpelledAnswer | list[SpelledText | ItemError],
    summary="Texts backwards",
)
async def spell(body: SpellBody, services: RequestServices, context: Context) -> TaskResult:
    """``{text, spelled}``. In a list a bad text fails alone."""
    card = await services.catalog.resolve(SPELL, body.model_name)
    items = await _spelled(texts_of(body.texts), card, services)
    return object_or_list(body.texts, items, _with_spelling, card.name)


@router.hub_tasks.task("text2text-generation", SPELL, also_called=("reversal",))
async def text2text_generation(
    body: HubSpellBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{generated_text}]``, one a text."""
    items = await _spelled(texts_of(body.inputs), card, services, FIELD)
    shown = input_answers(body.inputs, items, lambda _, text: {"generated_text": text})
    return context.bare_list(shown, card.name)


async def _spelled(
    texts: Sequence[str], card: ModelCard, services: Services, field: str = "texts"
) -> list[str | Problem]:
    return await call_for_each(
        texts,
        card,
        services,
        "spell",
        lambda good: SpellingRequest(card.name, good),
        field=field,
    )


def _with_spelling(text: str, spelled: str) -> dict[str, Any]:
    return {"text": text, "spelled": spelled}
