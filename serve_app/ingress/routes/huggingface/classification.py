"""Text classification, and zero-shot classification with labels that the request brings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints
from starlette.responses import Response

from configs.labels import ZeroShotLabels
from deployments.seam.classification import ScoreFunction
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import Inputs, NoOptions
from serve_app.ingress.routes.huggingface.text_inputs import FIELD, input_answers
from serve_app.ingress.routes.huggingface.zero_shot_shape import ZeroShotShape
from serve_app.ingress.routes.label_scores import (
    SENTIMENT,
    TOPIC,
    ZERO_SHOT,
    Ranking,
    label_scores,
    zero_shot_scores,
)
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.validation.fields import Body, Count
from serve_app.ingress.validation.limits import check_count

hub_tasks = HubTasks()

Template = Annotated[str, StringConstraints(max_length=256, pattern=r"\{\}")]
"""A sentence with a place, ``{}``, for the label."""


class ClassificationParameters(Body):
    function_to_apply: ScoreFunction | None = None
    top_k: Count | None = None


class ClassificationBody(Body):
    inputs: Inputs
    parameters: ClassificationParameters = ClassificationParameters()
    options: NoOptions = None


class ZeroShotParameters(Body):
    candidate_labels: ZeroShotLabels
    multi_label: bool | None = None
    hypothesis_template: Template | None = None


class ZeroShotBody(Body):
    inputs: Inputs
    parameters: ZeroShotParameters
    options: NoOptions = None


@hub_tasks.task("text-classification", SENTIMENT, also_called=("sentiment-analysis",))
@hub_tasks.task("text-classification", TOPIC)
async def text_classification(
    body: ClassificationBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[[{label, score}]]``, nested also for a single text; in each the best label first."""
    parameters = body.parameters
    items = await label_scores(
        texts_of(body.inputs), card, services, scores=parameters.function_to_apply, field=FIELD
    )
    shown = input_answers(
        body.inputs, items, lambda _, ranking: _labels(ranking[: parameters.top_k])
    )
    return context.bare_list(shown, card.name)


@hub_tasks.task("zero-shot-classification", ZERO_SHOT, distinguishing={"candidate_labels"})
async def zero_shot_classification(
    body: ZeroShotBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{label, score}]``, best first; for a list of texts a list of these.

    Older clients get ``{sequence, labels, scores}`` for a text, see :class:`ZeroShotShape`.
    """
    parameters, shape = body.parameters, ZeroShotShape.of(context)
    inputs = shape.inputs(body.inputs)
    texts = texts_of(inputs)
    check_count(len(texts), services.settings, FIELD)
    items = await zero_shot_scores(
        texts,
        parameters.candidate_labels,
        card,
        services,
        multi_label=bool(parameters.multi_label),
        template=parameters.hypothesis_template,
        field=FIELD,
    )
    shown = input_answers(inputs, items, shape.shown)
    return context.bare_list(shown[0] if isinstance(inputs, str) else shown, card.name)


def _labels(ranking: Ranking) -> list[dict[str, Any]]:
    return [{"label": each.label, "score": each.score} for each in ranking]
