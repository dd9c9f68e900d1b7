"""Token classification: what is named in texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from deployments.seam.entities import Aggregation, Entity, EntityRequest, EntityResult
from deployments.seam.problems import Problem
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.huggingface.payload import HubOptions, Inputs, Unserved
from serve_app.ingress.routes.huggingface.texts import answers_to, in_place
from serve_app.ingress.validation.fields import Body, TextList

OUTSIDE = "O"


class EntityParameters(Body):
    """Words are kept whole unless an ``aggregation_strategy`` says otherwise: ``first``.

    Long texts are read in windows whose overlap is this server's own: ``stride`` is not served.
    """

    aggregation_strategy: Aggregation | None = None
    ignore_labels: TextList | None = None
    stride: Unserved = None


class EntityBody(Body):
    inputs: Inputs
    parameters: EntityParameters = EntityParameters()
    options: HubOptions | None = None


async def token_classification(
    body: EntityBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[{entity_group, score, word, start, end}]``; for a list of texts a list of these.

    Without aggregation the label is an ``entity``, and the model's own tag.
    """
    aggregation = body.parameters.aggregation_strategy or "first"

    async def ask(good: tuple[str, ...]) -> Sequence[tuple[Entity, ...] | Problem]:
        request = EntityRequest(card.name, good, aggregation)
        answer: EntityResult = await served.client.call(card.family, "recognise", request)
        return answer.items

    items = await answers_to(body.inputs, served, ask)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    ignored = frozenset(body.parameters.ignore_labels or (OUTSIDE,))
    name = "entity" if aggregation == "none" else "entity_group"
    shown = [_shown(text, item, name, ignored) for text, item in zip(texts, items, strict=True)]
    return context.bare_list(shown[0] if isinstance(body.inputs, str) else shown, card.name)


def _shown(
    text: str, item: tuple[Entity, ...] | Problem, name: str, ignored: frozenset[str]
) -> Any:
    return in_place(
        item,
        lambda found: [_entity(text, each, name) for each in found if each.label not in ignored],
    )


def _entity(text: str, entity: Entity, name: str) -> dict[str, Any]:
    return {
        name: entity.label,
        "score": entity.score,
        "word": text[entity.start : entity.end],
        "start": entity.start,
        "end": entity.end,
    }
