"""Text classification, and zero-shot classification with labels that the request brings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints
from starlette.responses import Response

from configs.labels import Labels
from deployments.seam.classification import LabelScore, ScoreFunction
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.routes import zero_shot
from serve_app.ingress.routes.classification import classified
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.huggingface.payload import HubOptions, Inputs
from serve_app.ingress.routes.huggingface.texts import FIELD, alone, in_place
from serve_app.ingress.validation.fields import Body, Count
from serve_app.ingress.validation.limits import check_count

Template = Annotated[str, StringConstraints(max_length=256, pattern=r"\{\}")]
"""A sentence with a place, ``{}``, for the label."""


class ClassificationParameters(Body):
    function_to_apply: ScoreFunction | None = None
    top_k: Count | None = None


class ClassificationBody(Body):
    inputs: Inputs
    parameters: ClassificationParameters = ClassificationParameters()
    options: HubOptions | None = None


class ZeroShotParameters(Body):
    candidate_labels: Labels
    multi_label: bool | None = None
    hypothesis_template: Template | None = None


class ZeroShotBody(Body):
    inputs: Inputs
    parameters: ZeroShotParameters
    options: HubOptions | None = None


async def text_classification(
    body: ClassificationBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[[{label, score}]]``, nested also for a single text; in each the best label first."""
    parameters = body.parameters
    texts = _counted(body.inputs, served)
    scores = parameters.function_to_apply
    items = await classified(texts, card, served, truncate=False, scores=scores)
    shown = [
        in_place(item, lambda ranking: _ranking(ranking[: parameters.top_k]))
        for item in alone(body.inputs, items)
    ]
    return context.bare_list(shown, card.name)


async def zero_shot_classification(
    body: ZeroShotBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[{label, score}]``, best first; for a list of texts a list of these."""
    parameters = body.parameters
    items = await zero_shot.scored(
        _counted(body.inputs, served),
        parameters.candidate_labels,
        card,
        served,
        multi_label=bool(parameters.multi_label),
        template=parameters.hypothesis_template,
        field=FIELD,
    )
    shown = [in_place(item, _ranking) for item in alone(body.inputs, items)]
    return context.bare_list(shown[0] if isinstance(body.inputs, str) else shown, card.name)


def _counted(inputs: str | list[str], served: Services) -> list[str]:
    texts = [inputs] if isinstance(inputs, str) else inputs
    check_count(len(texts), served.settings, FIELD)
    return texts


def _ranking(ranking: tuple[LabelScore, ...]) -> list[dict[str, Any]]:
    return [{"label": each.label, "score": each.score} for each in ranking]
