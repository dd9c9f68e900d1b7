"""Tasks over one image, which is the whole body, or base64 or a ``data:`` URI in ``inputs``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from starlette.responses import Response

from configs.labels import ZeroShotLabels
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.classification import ClassificationResult, ScoreFunction
from deployments.seam.problems import Problem
from deployments.seam.vision import (
    Detection,
    DetectionRequest,
    DetectionResult,
    ImageClassificationRequest,
    VisualQuestionRequest,
    VisualQuestionResult,
)
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.huggingface.labels import Template
from serve_app.ingress.routes.huggingface.payload import HubOptions
from serve_app.ingress.validation.fields import Body, ImageSent, Text, TokenCount
from serve_app.ingress.validation.limits import check_prompt

FIELDS = {
    "image": "inputs",
    "max_new_tokens": "parameters.max_new_tokens",
    "labels": "parameters.candidate_labels",
}
TopK = Annotated[int, Field(ge=1, le=1000)]


class ImageBody(Body):
    """An image alone: the clients send a bare file where they have nothing to say about it."""

    inputs: ImageSent
    options: HubOptions | None = None

    @classmethod
    def of(cls, file: bytes) -> Self:
        return cls(inputs=file)


class ImageClassificationParameters(Body):
    function_to_apply: ScoreFunction | None = None
    top_k: TopK | None = None


class ImageClassificationBody(ImageBody):
    parameters: ImageClassificationParameters = ImageClassificationParameters()


class ImageLabelsParameters(Body):
    candidate_labels: ZeroShotLabels
    hypothesis_template: Template | None = None


class ImageLabelsBody(ImageBody):
    parameters: ImageLabelsParameters


class DetectionParameters(Body):
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class DetectionBody(ImageBody):
    parameters: DetectionParameters = DetectionParameters()


class CaptionBounds(Body):
    max_new_tokens: TokenCount | None = None


class ImageToTextParameters(CaptionBounds):
    generation_parameters: CaptionBounds | None = None


class ImageToTextBody(ImageBody):
    parameters: ImageToTextParameters = ImageToTextParameters()

    @property
    def bound(self) -> int | None:
        nested = self.parameters.generation_parameters
        return self.parameters.max_new_tokens or (nested.max_new_tokens if nested else None)


class QuestionParameters(Body):
    top_k: TopK | None = None


class HubQuestionBody(Body):
    """A question about an image: beside ``inputs``, as the client sends it, or with it in there.

    The client sends the image twice, under ``inputs`` and ``image``.
    """

    inputs: ImageSent
    question: Text
    image: ImageSent | None = None
    parameters: QuestionParameters = QuestionParameters()
    options: HubOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _unfolded(cls, body: Any) -> Any:
        pair = body.get("inputs") if isinstance(body, Mapping) else None
        if not (isinstance(pair, Mapping) and set(pair) == {"image", "question"}):
            return body
        return {**body, "inputs": pair["image"], "question": pair["question"]}


async def image_classification(
    body: ImageClassificationBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[{label, score}]``, the ``top_k`` best first."""
    request = ImageClassificationRequest(
        card.name,
        await _image(body, served),
        body.parameters.top_k or 5,
        scores=body.parameters.function_to_apply,
    )
    return context.bare_list(await _labels(request, card, served), card.name)


async def zero_shot_image_classification(
    body: ImageLabelsBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[{label, score}]`` of the labels given, best first."""
    parameters = body.parameters
    labels = tuple(parameters.candidate_labels)
    image, template = await _image(body, served), parameters.hypothesis_template
    request = ImageClassificationRequest(card.name, image, len(labels), labels, template)
    return context.bare_list(await _labels(request, card, served), card.name)


async def object_detection(
    body: DetectionBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[{label, score, box}]``, best first; boxes in whole pixels of the image."""
    threshold = body.parameters.threshold
    request = DetectionRequest(
        card.name, await _image(body, served), 0.5 if threshold is None else threshold
    )
    answer: DetectionResult = await served.client.call(card.family, "detect", request, FIELDS)
    return context.bare_list([_found(each) for each in answer.items], card.name)


async def image_to_text(
    body: ImageToTextBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[{generated_text}]``, decoded greedily."""
    request = CaptionRequest(card.name, await _image(body, served), max_new_tokens=body.bound)
    answer: CaptionResult = await served.client.call(card.family, "caption", request, FIELDS)
    return context.bare_list([{"generated_text": answer.text}], card.name)


async def visual_question_answering(
    body: HubQuestionBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[{answer, score}]``, best first; no score from a model that writes its answer."""
    check_prompt(body.question, served.settings, "question")
    image = await served.images.received(body.inputs, served.settings, "inputs")
    top_k = body.parameters.top_k or 5
    request = VisualQuestionRequest(card.name, image, body.question, top_k)
    answer: VisualQuestionResult = await served.client.call(
        card.family, "answer_question", request, FIELDS
    )
    shown = [{"answer": each.answer, "score": each.score} for each in answer.items]
    return context.bare_list(shown, card.name)


async def _labels(
    request: ImageClassificationRequest, card: ModelCard, served: Services
) -> list[dict[str, Any]]:
    answer: ClassificationResult = await served.client.call(
        card.family, "classify_image", request, FIELDS
    )
    (item,) = answer.items
    if isinstance(item, Problem):
        raise from_problem(item, FIELDS)
    return [{"label": each.label, "score": each.score} for each in item]


async def _image(body: ImageBody, served: Services) -> bytes:
    return await served.images.received(body.inputs, served.settings, "inputs")


def _found(each: Detection) -> dict[str, Any]:
    box = {name: round(getattr(each, name)) for name in ("xmin", "ymin", "xmax", "ymax")}
    return {"label": each.label, "score": each.score, "box": box}
