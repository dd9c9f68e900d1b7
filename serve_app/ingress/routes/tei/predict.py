"""``POST /predict``: the labels of texts, as TEI's classifiers answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, Tag
from pydantic import Discriminator as ChosenBy
from starlette.responses import Response

from deployments.seam.problems import Problem
from serve_app.ingress.routes.context import Context, RequestServices
from serve_app.ingress.routes.label_scores import SENTIMENT, TOPIC, Ranking, label_scores
from serve_app.ingress.routes.model_path_router import ModelPathRouter, PathModel
from serve_app.ingress.routes.tei.errors import ERRORS
from serve_app.ingress.routes.tei.truncation import CUT_RIGHT, TruncationBody
from serve_app.ingress.routes.vectors import refuse
from serve_app.ingress.validation.fields import Readable, example

router = ModelPathRouter(prefix="", tags=["text-embeddings-inference"], responses=ERRORS)


def _no_pair(given: Any) -> Any:
    """TEI reads a list of two texts as one pair, which these classifiers do not take."""
    if isinstance(given, list) and len(given) > 1 and isinstance(given[0], str):
        raise ValueError(
            "two texts in a list are one pair, which no classifier here reads; "
            "send a batch as a list of lists, [[text], [text]]"
        )
    return given


def _form(given: Any) -> str:
    match given:
        case [list(), *_]:
            return "batch[]"
        case list():
            return "one[]"
    return "str"


One = Annotated[
    list[Readable], BeforeValidator(_no_pair), Field(min_length=1, max_length=1, title="One")
]
Inputs = Annotated[
    Annotated[Readable, Tag("str")]
    | Annotated[One, Tag("one[]")]
    | Annotated[list[One], Field(min_length=1), Tag("batch[]")],
    ChosenBy(_form),
]


class TeiPredictBody(TruncationBody):
    """One text, or a batch of lists of one text each."""

    model_config = example(CUT_RIGHT, inputs="my new favourite album")

    inputs: Inputs
    raw_scores: bool = Field(False, description="the model's logits instead of probabilities")

    @property
    def is_batch(self) -> bool:
        return _form(self.inputs) == "batch[]"

    @property
    def texts(self) -> list[str]:
        if isinstance(self.inputs, str):
            return [self.inputs]
        return [each if isinstance(each, str) else each[0] for each in self.inputs]


class TeiPrediction(BaseModel):
    score: float
    label: str


@router.inference_twice(
    "/predict",
    SENTIMENT,
    TOPIC,
    name="tei_predict",
    summary="TEI: labels of texts",
    response_model=list[TeiPrediction] | list[list[TeiPrediction]],
)
async def tei_predict(
    body: TeiPredictBody, model: PathModel, services: RequestServices, context: Context
) -> Response:
    """``[{score, label}]``, best first; for a batch a list of these."""
    _, card = await services.catalog.resolve_first((SENTIMENT, TOPIC), model, "model")
    items = await label_scores(
        body.texts,
        card,
        services,
        truncate=body.truncates,
        scores="none" if body.raw_scores else None,
        field="inputs",
    )
    problems = {i: item for i, item in enumerate(items) if isinstance(item, Problem)}
    refuse(problems, "inputs" if body.is_batch else ("inputs",))
    shown = [_shown(item) for item in items if not isinstance(item, Problem)]
    return context.bare_list(shown if body.is_batch else shown[0], card.name)


def _shown(ranking: Ranking) -> list[dict[str, Any]]:
    return [{"score": each.score, "label": each.label} for each in ranking]
