"""``POST /classify``: the probabilities of a classifier's labels, as vLLM answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from deployments.seam.problems import Problem
from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Context, RequestServices, Services, json_response
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.label_scores import SENTIMENT, TOPIC, labelled
from serve_app.ingress.routes.openai.shapes import ERRORS, EmbeddingUsage
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.routes.vectors import refuse
from serve_app.ingress.routes.vllm.fields import VllmBody, listed
from serve_app.ingress.validation.fields import Texts, example

router = InferenceRouter(prefix="", tags=["vllm"], responses=ERRORS)


class VllmClassifyBody(VllmBody):
    """Texts to label."""

    model_config = example(all_readable("input"), input="my new favourite album")

    input: Texts
    use_activation: bool | None = Field(None, description="false: the model's logits")


class ClassifiedText(BaseModel):
    """``probs`` are in the order of the model's outputs; ``label`` has the largest of them."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassificationList(BaseModel):
    id: str
    object: str
    created: int
    model: str
    data: list[ClassifiedText]
    usage: EmbeddingUsage


@router.inference(
    "/classify",
    SENTIMENT,
    TOPIC,
    name="vllm_classify",
    summary="vLLM: probabilities of a classifier's labels",
    response_model=ClassificationList,
)
async def vllm_classify(
    body: VllmClassifyBody, services: RequestServices, context: Context
) -> Response:
    """One entry a text. A text that cannot be read is a 400 naming it."""
    _, card = await services.catalog.resolve_first((SENTIMENT, TOPIC), body.model, "model")
    texts = texts_of(body.input)
    rows, tokens = await class_scores(
        texts, card, services, truncate=body.truncates, raw=body.use_activation is False
    )
    data = [
        {
            "index": index,
            "label": max(row, key=lambda label: row[label]),
            "probs": list(row.values()),
            "num_classes": len(row),
        }
        for index, row in enumerate(rows)
    ]
    return json_response(listed("classify", data, card.name, tokens, context))


async def class_scores(
    texts: list[str], card: ModelCard, services: Services, *, truncate: bool, raw: bool
) -> tuple[list[dict[str, float]], int]:
    """The score of each label of each text, in the order of the model's outputs; and the tokens."""
    items, result = await labelled(
        texts,
        card,
        services,
        truncate=truncate,
        scores="none" if raw else None,
        field="input",
    )
    refuse({i: item for i, item in enumerate(items) if isinstance(item, Problem)}, "input")
    assert result is not None  # every text was read
    rows: list[dict[str, Any]] = []
    for item in items:
        scores = {} if isinstance(item, Problem) else {each.label: each.score for each in item}
        rows.append({label: scores[label] for label in result.labels or scores})
    return rows, sum(result.tokens)
