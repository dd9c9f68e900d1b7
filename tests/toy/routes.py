"""The toy family's router: ``POST /spell``, and the task of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from deployments.seam.problems import Problem
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services, TaskResult
from serve_app.ingress.routes.items import answered, listed, shown
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import Body, ModelName, Texts
from tests.toy.spelling import Spelled, SpellingRequest

router = NativeRouter("spelling")

TASK = "spell"


class SpellBody(Body):
    texts: Texts
    model_name: ModelName | None = None


@router.post("/spell", summary="Texts backwards")
async def spell_route(body: SpellBody, served: Served, context: Context) -> Response:
    return context.respond(await spell(body, served, context))


@router.task("spell", SpellBody, TASK)
async def spell(body: SpellBody, served: Services, context: RequestContext) -> TaskResult:
    card = served.catalog.resolve(TASK, body.model_name)

    async def ask(good: tuple[str, ...]) -> Sequence[str | Problem]:
        request = SpellingRequest(card.name, good)
        answer: Spelled = await served.client.call(card.family, "spell", request)
        return answer.items

    items = await answered(listed(body.texts), served.settings, ask)
    return shown(body.texts, items, _with_spelling, card.name)


def _with_spelling(text: str, spelled: str) -> dict[str, Any]:
    return {"text": text, "spelled": spelled}
