"""Fill-mask: tokens for the mask of a text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints
from starlette.responses import Response

from deployments.seam.fill_mask import TokenPrediction
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import Inputs, NoOptions
from serve_app.ingress.routes.huggingface.text_inputs import FIELD, input_answers
from serve_app.ingress.routes.masked_words import FILL_MASK, TopTokens, fill_masks
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.validation.fields import Body

hub_tasks = HubTasks()

FIELDS = {"targets": "parameters.targets"}

Target = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class FillMaskParameters(Body):
    targets: Annotated[list[Target], Field(min_length=1, max_length=100)] | None = None
    top_k: TopTokens | None = None


class HubFillMaskBody(Body):
    inputs: Inputs
    parameters: FillMaskParameters = FillMaskParameters()
    options: NoOptions = None


@hub_tasks.task("fill-mask", FILL_MASK)
async def fill_mask(
    body: HubFillMaskBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{score, token, token_str, sequence}]``, likeliest first; for a list a list of these."""
    items = await fill_masks(
        texts_of(body.inputs),
        card,
        services,
        top_k=body.parameters.top_k,
        targets=body.parameters.targets or (),
        fields=FIELDS,
        field=FIELD,
    )
    shown = input_answers(
        body.inputs, items, lambda _, found: [_prediction(each) for each in found]
    )
    return context.bare_list(shown[0] if isinstance(body.inputs, str) else shown, card.name)


def _prediction(each: TokenPrediction) -> dict[str, Any]:
    return {
        "score": each.score,
        "token": each.token_id,
        "token_str": each.token,
        "sequence": each.sequence,
    }
