"""``POST /entities``: what is named in texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from deployments.seam.entities import Entity, EntityRequest, EntityResult
from deployments.seam.problems import Problem
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services, TaskResult
from serve_app.ingress.routes.items import ItemError, answered, listed, shown
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import Answer, Body, ModelName, Texts, example

router = NativeRouter("entities")

TASK = "entities"
FIELDS = {"model": "model_name"}


class EntitiesBody(Body):
    """One text for one answer, a list for a list of them. Long texts are read in windows."""

    model_config = example(texts="My name is Anna Schmidt and I live in Berlin.")

    texts: Texts
    model_name: ModelName | None = None


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


@router.post(
    "/entities",
    summary="What is named in texts",
    response_model=EntitiesAnswer | list[FoundEntities | ItemError],
)
async def entities_route(body: EntitiesBody, served: Served, context: Context) -> Response:
    """``{text, entities: [{text, label, confidence, start, end}]}``, in order of appearance.

    ``start`` and ``end`` count the characters (code points) of the text as it was sent.
    """
    return context.respond(await entities(body, served, context))


@router.task("entities", EntitiesBody, TASK)
async def entities(body: EntitiesBody, served: Services, context: RequestContext) -> TaskResult:
    card = served.catalog.resolve(TASK, body.model_name)

    async def ask(good: tuple[str, ...]) -> Sequence[tuple[Entity, ...] | Problem]:
        request = EntityRequest(card.name, good)
        answer: EntityResult = await served.client.call(card.family, "recognise", request, FIELDS)
        return answer.items

    items = await answered(listed(body.texts), served.settings, ask)
    return shown(body.texts, items, _with_entities, card.name)


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
