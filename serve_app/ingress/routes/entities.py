"""``POST /entities``: what is named in texts."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from deployments.seam.entities import Entity
from serve_app.ingress.routes.context import NATIVE_FIELDS, Context, RequestServices, TaskResult
from serve_app.ingress.routes.found_entities import ENTITIES, find_entities
from serve_app.ingress.routes.huggingface.entities import hub_tasks
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.text_items import ItemError, TextsBody, object_or_list, texts_of
from serve_app.ingress.validation.fields import Answer, example

router = NativeRouter("entities")
router.hub_tasks.add(hub_tasks)


class EntitiesBody(TextsBody):
    """One text for one answer, a list for a list of them. Long texts are read in windows."""

    model_config = example(texts="My name is Anna Schmidt and I live in Berlin.")


class Named(BaseModel):
    text: str
    label: str
    confidence: float
    start: int
    end: int


class FoundEntities(BaseModel):
    text: str
    entities: list[Named]


class EntitiesAnswer(FoundEntities, Answer):
    """One text's answer; in a list each is a bare ``FoundEntities``, or ``{error: ...}``."""


@router.task(
    "/entities",
    ENTITIES,
    step="entities",
    answer=EntitiesAnswer | list[FoundEntities | ItemError],
    summary="What is named in texts",
)
async def entities(body: EntitiesBody, services: RequestServices, context: Context) -> TaskResult:
    """``{text, entities: [{text, label, confidence, start, end}]}``, in order of appearance.

    ``start`` and ``end`` count the characters (code points) of the text as it was sent.
    """
    card = await services.catalog.resolve(ENTITIES, body.model_name)
    items = await find_entities(texts_of(body.texts), card, services, fields=NATIVE_FIELDS)
    return object_or_list(body.texts, items, _with_entities, card.name)


def _with_entities(text: str, found: tuple[Entity, ...]) -> dict[str, Any]:
    return {
        "text": text,
        "entities": [
            {
                "text": text[entity.start : entity.end],
                "label": entity.label,
                "confidence": entity.score,
                "start": entity.start,
                "end": entity.end,
            }
            for entity in found
        ],
    }
