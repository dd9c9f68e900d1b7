"""Token classification: what is named in texts."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from deployments.seam.entities import Aggregation, Entity
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.found_entities import ENTITIES, find_entities
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import Inputs, NoOptions, Unserved
from serve_app.ingress.routes.huggingface.text_inputs import FIELD, input_answers
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.validation.fields import Body, TextList

hub_tasks = HubTasks()

OUTSIDE = "O"
"""The tag of tokens that are part of no entity."""


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
    options: NoOptions = None


@hub_tasks.task("token-classification", ENTITIES, also_called=("ner",))
async def token_classification(
    body: EntityBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{entity_group, score, word, start, end}]``; for a list of texts a list of these.

    Without aggregation the label is an ``entity``, and the model's own tag.
    """
    aggregation = body.parameters.aggregation_strategy or "first"
    ignored = frozenset(body.parameters.ignore_labels or (OUTSIDE,))
    name = "entity" if aggregation == "none" else "entity_group"
    items = await find_entities(
        texts_of(body.inputs), card, services, aggregation=aggregation, field=FIELD
    )

    def show(text: str, found: tuple[Entity, ...]) -> list[dict[str, Any]]:
        return [_entity(text, each, name) for each in found if each.label not in ignored]

    shown = input_answers(body.inputs, items, show)
    return context.bare_list(shown[0] if isinstance(body.inputs, str) else shown, card.name)


def _entity(text: str, entity: Entity, name: str) -> dict[str, Any]:
    return {
        name: entity.label,
        "score": entity.score,
        "word": text[entity.start : entity.end],
        "start": entity.start,
        "end": entity.end,
    }
