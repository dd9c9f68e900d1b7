"""Calls a model for the entities of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deployments.seam.entities import Aggregation, Entity, EntityRequest
from deployments.seam.problems import Problem
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.text_items import FIELD, call_for_each

ENTITIES = "entities"


async def find_entities(
    texts: Sequence[str],
    card: ModelCard,
    services: Services,
    *,
    aggregation: Aggregation = "first",
    fields: Mapping[str, str] | None = None,
    field: str = FIELD,
) -> list[tuple[Entity, ...] | Problem]:
    """Every text's entities in order of appearance, or why it has none.

    ``fields`` are the route's names for the fields of the model side, ``field`` for the texts.
    """
    return await call_for_each(
        texts,
        card,
        services,
        "recognise",
        lambda good: EntityRequest(card.name, good, aggregation),
        fields=fields,
        field=field,
    )
