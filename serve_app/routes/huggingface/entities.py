"""Token classification: what is named in texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from starlette.responses import Response

from deployments.seam import Entity, EntityRequest, Problem, Recognised
from serve_app.catalog import ModelCard
from serve_app.fields import Body, TextList
from serve_app.routes.huggingface.payload import Inputs, Options, Unserved
from serve_app.routes.huggingface.texts import answers_to, in_place
from serve_app.routes.services import Asked, Services

OUTSIDE = "O"


class EntityParameters(Body):
    """``first`` keeps words whole, with the label of their first piece: the one way served.

    Long texts are read in windows whose overlap is this server's own: ``stride`` is not served.
    """

    aggregation_strategy: Literal["first"] | None = None
    ignore_labels: TextList | None = None
    stride: Unserved = None


class EntityBody(Body):
    inputs: Inputs
    parameters: EntityParameters = EntityParameters()
    options: Options | None = None


async def token_classification(
    body: EntityBody, card: ModelCard, served: Services, asking: Asked
) -> Response:
    """``[{entity_group, score, word, start, end}]``; for a list of texts a list of these."""

    async def ask(good: tuple[str, ...]) -> Sequence[tuple[Entity, ...] | Problem]:
        request = EntityRequest(card.name, good)
        answer: Recognised = await served.calls.ask(card.family, "recognise", request)
        return answer.items

    items = await answers_to(body.inputs, served, ask)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    ignored = frozenset(body.parameters.ignore_labels or (OUTSIDE,))
    shown = [_shown(text, item, ignored) for text, item in zip(texts, items, strict=True)]
    return asking.bare_list(shown[0] if isinstance(body.inputs, str) else shown, card.name)


def _shown(text: str, item: tuple[Entity, ...] | Problem, ignored: frozenset[str]) -> Any:
    return in_place(
        item,
        lambda found: [_entity(text, each) for each in found if each.label not in ignored],
    )


def _entity(text: str, entity: Entity) -> dict[str, Any]:
    return {
        "entity_group": entity.label,
        "score": entity.score,
        "word": text[entity.start : entity.end],
        "start": entity.start,
        "end": entity.end,
    }
