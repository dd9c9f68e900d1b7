"""``POST /vision/...``: what is in an image, in labels, words, answers and boxes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.problems import Problem
from deployments.seam.vision import (
    Detection,
    DetectionRequest,
    DetectionResult,
    ImageClassificationRequest,
    VisualQuestionRequest,
    VisualQuestionResult,
)
from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services, TaskResult
from serve_app.ingress.routes.image_body import documented, image_body
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import Answer, Body, ImageSent, ModelName, Text, example
from serve_app.ingress.validation.limits import check_prompt

router = NativeRouter("vision")

CLASSIFY, CAPTION, QUESTION, DETECT = "image_classify", "caption", "visual_question", "detect"
FIELDS = {"model": "model_name"}
RED_DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE"
    "0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg=="
)
"""A picture of five by five pixels, for the documentation."""


class ImageClassifyBody(Body):
    model_config = example(image=RED_DOT, top_k=3)

    image: ImageSent
    model_name: ModelName | None = None
    top_k: Annotated[int, Field(ge=1, le=1000)] = 5


class CaptionBody(Body):
    model_config = example(image=RED_DOT)

    image: ImageSent
    model_name: ModelName | None = None


class QuestionBody(Body):
    model_config = example(image=RED_DOT, question="What color is it?")

    image: ImageSent
    question: Text
    model_name: ModelName | None = None


class DetectBody(Body):
    model_config = example(image=RED_DOT, threshold=0.5)

    image: ImageSent
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    model_name: ModelName | None = None


class ImageLabel(BaseModel):
    label: str
    confidence: float


class ImageClassifyAnswer(Answer):
    classifications: list[ImageLabel]


class CaptionAnswer(Answer):
    caption: str
    usage: dict[str, int]


class QuestionAnswer(Answer):
    """``confidence`` is there when the model chose among answers of its own."""

    answer: str
    confidence: float | None = None


class Box(BaseModel):
    xmin: float
    ymin: float
    xmax: float
    ymax: float


class FoundObject(ImageLabel):
    box: Box


class DetectAnswer(Answer):
    detections: list[FoundObject]


@router.post(
    "/vision/classify",
    summary="What is in an image",
    response_model=ImageClassifyAnswer,
    openapi_extra=documented(ImageClassifyBody),
)
async def classify_route(
    body: Annotated[ImageClassifyBody, Depends(image_body(ImageClassifyBody))],
    served: Served,
    context: Context,
) -> Response:
    """``{classifications: [{label, confidence}]}``, the ``top_k`` best first."""
    return context.respond(await classify_image(body, served, context))


@router.post(
    "/vision/caption",
    summary="An image in words",
    response_model=CaptionAnswer,
    openapi_extra=documented(CaptionBody),
)
async def caption_route(
    body: Annotated[CaptionBody, Depends(image_body(CaptionBody))],
    served: Served,
    context: Context,
) -> Response:
    """``{caption}``, decoded greedily."""
    return context.respond(await caption(body, served, context))


@router.post(
    "/vision/question",
    summary="A question about an image",
    response_model=QuestionAnswer,
    openapi_extra=documented(QuestionBody),
)
async def question_route(
    body: Annotated[QuestionBody, Depends(image_body(QuestionBody))],
    served: Served,
    context: Context,
) -> Response:
    """``{answer, confidence}``; no ``confidence`` from a model that writes its answer."""
    return context.respond(await question(body, served, context))


@router.post(
    "/vision/detect",
    summary="Where things are in an image",
    response_model=DetectAnswer,
    openapi_extra=documented(DetectBody),
)
async def detect_route(
    body: Annotated[DetectBody, Depends(image_body(DetectBody))],
    served: Served,
    context: Context,
) -> Response:
    """``{detections: [{label, confidence, box}]}``, best first, none below ``threshold``.

    Boxes are in pixels of the image sent, as a viewer shows it: where its EXIF data says that it is
    turned, after it is turned. The origin is the upper left corner.
    """
    return context.respond(await detect(body, served, context))


@router.task("classify_image", ImageClassifyBody, CLASSIFY)
async def classify_image(
    body: ImageClassifyBody, served: Services, context: RequestContext
) -> TaskResult:
    """The labels of an image."""
    card = served.catalog.resolve(CLASSIFY, body.model_name)
    image = await served.images.received(body.image, served.settings)
    request = ImageClassificationRequest(card.name, image, body.top_k)
    answer: ClassificationResult = await served.client.call(
        card.family, "classify_image", request, FIELDS
    )
    (item,) = answer.items
    if isinstance(item, Problem):
        raise from_problem(item, FIELDS)
    return TaskResult({"classifications": [_label(each) for each in item]}, card.name)


@router.task("caption", CaptionBody, CAPTION)
async def caption(body: CaptionBody, served: Services, context: RequestContext) -> TaskResult:
    """An image in words."""
    card = served.catalog.resolve(CAPTION, body.model_name)
    image = await served.images.received(body.image, served.settings)
    request = CaptionRequest(card.name, image)
    answer: CaptionResult = await served.client.call(card.family, "caption", request, FIELDS)
    usage = {"prompt_tokens": 0, "completion_tokens": answer.tokens, "total_tokens": answer.tokens}
    return TaskResult({"caption": answer.text, "usage": usage}, card.name)


@router.task("question", QuestionBody, QUESTION)
async def question(body: QuestionBody, served: Services, context: RequestContext) -> TaskResult:
    """The best answer to a question about an image."""
    check_prompt(body.question, served.settings, "question")
    card = served.catalog.resolve(QUESTION, body.model_name)
    image = await served.images.received(body.image, served.settings)
    request = VisualQuestionRequest(card.name, image, body.question)
    answer: VisualQuestionResult = await served.client.call(
        card.family, "answer_question", request, FIELDS
    )
    best = answer.items[0]
    sure = {} if best.score is None else {"confidence": best.score}
    return TaskResult({"answer": best.answer, **sure}, card.name)


@router.task("detect", DetectBody, DETECT)
async def detect(body: DetectBody, served: Services, context: RequestContext) -> TaskResult:
    """The objects in an image."""
    card = served.catalog.resolve(DETECT, body.model_name)
    image = await served.images.received(body.image, served.settings)
    request = DetectionRequest(card.name, image, body.threshold)
    answer: DetectionResult = await served.client.call(card.family, "detect", request, FIELDS)
    return TaskResult({"detections": [_found(each) for each in answer.items]}, card.name)


def _label(each: LabelScore | Detection) -> dict[str, Any]:
    return {"label": each.label, "confidence": each.score}


def _found(each: Detection) -> dict[str, Any]:
    box = {name: getattr(each, name) for name in ("xmin", "ymin", "xmax", "ymax")}
    return {**_label(each), "box": box}
