"""``POST /vision/...``: what is in an image, in labels, words, answers, boxes and masks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from configs.labels import ZeroShotLabels
from deployments.seam.classification import LabelScore
from deployments.seam.vision import Detection
from serve_app.ingress.images import IMAGE
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes import image_models
from serve_app.ingress.routes.context import (
    NATIVE_FIELDS,
    Context,
    RequestServices,
    Services,
    TaskResult,
)
from serve_app.ingress.routes.generation_fields import usage
from serve_app.ingress.routes.huggingface.images import hub_tasks
from serve_app.ingress.routes.label_scores import Prediction
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.upload_body import IMAGE_FILE
from serve_app.ingress.validation.fields import Answer, Body, ImageSent, ModelName, Text, example
from serve_app.ingress.validation.limits import check_prompt

router = NativeRouter("vision", upload=IMAGE_FILE)
router.hub_tasks.add(hub_tasks)

RED_DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE"
    "0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg=="
)
"""A picture of five by five pixels, for the documentation."""


class ImageBody(Body):
    image: ImageSent
    model_name: ModelName | None = None


class ImageClassifyBody(ImageBody):
    model_config = example(image=RED_DOT, top_k=3)

    top_k: Annotated[int, Field(ge=1, le=1000)] = 5


class ImageZeroShotBody(ImageBody):
    model_config = example(image=RED_DOT, labels=["a red dot", "a cat"])

    labels: ZeroShotLabels = Field(description="1 to 64 labels of your own")


class CaptionBody(ImageBody):
    model_config = example(image=RED_DOT)


class QuestionBody(ImageBody):
    model_config = example(image=RED_DOT, question="What color is it?")

    question: Text


class DetectBody(ImageBody):
    model_config = example(image=RED_DOT, threshold=0.5)

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5


class SegmentBody(ImageBody, image_models.SegmentationParameters):
    model_config = example(image=RED_DOT)


class ImageLabel(BaseModel):
    label: str
    confidence: float


class ImageClassifyAnswer(Answer):
    classifications: list[ImageLabel]


class ImagePredictionsAnswer(Answer):
    predictions: list[Prediction]


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


class MaskedSegment(BaseModel):
    """``mask`` is a PNG in base64; there is no score for a label of pixels."""

    label: str
    score: float | None
    mask: str


class SegmentAnswer(Answer):
    segments: list[MaskedSegment]


@router.task(
    "/vision/classify",
    image_models.IMAGE_CLASSIFY,
    step="classify_image",
    answer=ImageClassifyAnswer,
    summary="What is in an image",
)
async def classify(
    body: ImageClassifyBody, services: RequestServices, context: Context
) -> TaskResult:
    """``{classifications: [{label, confidence}]}``, the ``top_k`` best first."""
    card, image = await _card_and_image(image_models.IMAGE_CLASSIFY, body, services)
    labels = await image_models.label_image(image, card, services, NATIVE_FIELDS, top_k=body.top_k)
    return TaskResult({"classifications": [_label(each) for each in labels]}, card.name)


@router.task(
    "/vision/zero-shot",
    image_models.IMAGE_ZERO_SHOT,
    step="zero_shot_image",
    answer=ImagePredictionsAnswer,
    summary="Labels of your own for an image",
)
async def zero_shot(
    body: ImageZeroShotBody, services: RequestServices, context: Context
) -> TaskResult:
    """``{predictions: [{label, score}]}``, every label, best first.

    In a form ``labels`` is given once for each label.
    """
    card, image = await _card_and_image(image_models.IMAGE_ZERO_SHOT, body, services)
    labels = await image_models.label_image(
        image, card, services, NATIVE_FIELDS, top_k=len(body.labels), labels=tuple(body.labels)
    )
    predictions = [{"label": each.label, "score": each.score} for each in labels]
    return TaskResult({"predictions": predictions}, card.name)


@router.task(
    "/vision/caption",
    image_models.CAPTION,
    step="caption",
    answer=CaptionAnswer,
    summary="An image in words",
    also_called=("image-text-to-text",),
)
async def caption(body: CaptionBody, services: RequestServices, context: Context) -> TaskResult:
    """``{caption}``, decoded greedily."""
    card, image = await _card_and_image(image_models.CAPTION, body, services)
    written = await image_models.caption_image(image, card, services, NATIVE_FIELDS)
    return TaskResult({"caption": written.text, "usage": usage(0, written.tokens)}, card.name)


@router.task(
    "/vision/question",
    image_models.VISUAL_QUESTION,
    step="question",
    answer=QuestionAnswer,
    summary="A question about an image",
)
async def question(body: QuestionBody, services: RequestServices, context: Context) -> TaskResult:
    """``{answer, confidence}``; no ``confidence`` from a model that writes its answer."""
    check_prompt(body.question, services.settings, "question")
    card, image = await _card_and_image(image_models.VISUAL_QUESTION, body, services)
    best, *_ = await image_models.answer_question(
        image, body.question, card, services, NATIVE_FIELDS
    )
    confidence = {} if best.score is None else {"confidence": best.score}
    return TaskResult({"answer": best.answer, **confidence}, card.name)


@router.task(
    "/vision/detect",
    image_models.DETECT,
    step="detect",
    answer=DetectAnswer,
    summary="Where things are in an image",
)
async def detect(body: DetectBody, services: RequestServices, context: Context) -> TaskResult:
    """``{detections: [{label, confidence, box}]}``, best first, none below ``threshold``.

    Boxes are in pixels of the image sent, as a viewer shows it: where its EXIF data says that it is
    turned, after it is turned. The origin is the upper left corner.
    """
    card, image = await _card_and_image(image_models.DETECT, body, services)
    found = await image_models.find_objects(image, body.threshold, card, services, NATIVE_FIELDS)
    return TaskResult({"detections": [_with_box(each) for each in found]}, card.name)


@router.task(
    "/vision/segment",
    image_models.SEGMENT,
    step="segment",
    answer=SegmentAnswer,
    images="segments.mask",
    summary="Which pixels of an image are what",
)
async def segment(body: SegmentBody, services: RequestServices, context: Context) -> TaskResult:
    """``{segments: [{label, score, mask}]}``: a mask is a PNG in base64, of the image's size.

    Masks are of the image as a viewer shows it, 255 in the segment and 0 elsewhere. The score of a
    semantic segment is null.
    """
    card, image = await _card_and_image(image_models.SEGMENT, body, services)
    segments = await image_models.segment_image(image, body, card, services, NATIVE_FIELDS)
    return TaskResult({"segments": segments}, card.name)


async def _card_and_image(
    task: str, body: ImageBody, services: Services
) -> tuple[ModelCard, bytes]:
    card = await services.catalog.resolve(task, body.model_name)
    return card, await services.files.received(body.image, IMAGE, services.settings, "image")


def _label(each: LabelScore | Detection) -> dict[str, Any]:
    return {"label": each.label, "confidence": each.score}


def _with_box(each: Detection) -> dict[str, Any]:
    box = {name: getattr(each, name) for name in ("xmin", "ymin", "xmax", "ymax")}
    return {**_label(each), "box": box}
