"""Tasks over one image, which is the whole body, or base64 or a ``data:`` URI in ``inputs``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from starlette.responses import Response

from configs.labels import ZeroShotLabels
from deployments.seam.classification import LabelScore, ScoreFunction
from deployments.seam.vision import Detection
from serve_app.ingress.images import IMAGE
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes import image_models
from serve_app.ingress.routes.context import RequestContext, Services, json_response
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.classification import Template
from serve_app.ingress.routes.huggingface.client_versions import JAVASCRIPT, version_of
from serve_app.ingress.routes.huggingface.request_body import NoOptions
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import Body, ImageSent, Text, TokenCount
from serve_app.ingress.validation.limits import check_prompt

hub_tasks = HubTasks()

FIELDS = {
    "image": "inputs",
    "max_new_tokens": "parameters.max_new_tokens",
    "labels": "parameters.candidate_labels",
    **{name: f"parameters.{name}" for name in image_models.SegmentationParameters.model_fields},
}
FIRST_JAVASCRIPT_WITH_ONE_CAPTION = (4, 13, 15)
TopK = Annotated[int, Field(ge=1, le=1000)]


class HubImageBody(Body):
    """An image alone: the clients send a bare file where they have nothing to say about it."""

    inputs: ImageSent
    options: NoOptions = None

    @classmethod
    def of(cls, file: bytes) -> Self:
        return cls(inputs=file)


class ImageClassificationParameters(Body):
    function_to_apply: ScoreFunction | None = None
    top_k: TopK | None = None


class ImageClassificationBody(HubImageBody):
    parameters: ImageClassificationParameters = ImageClassificationParameters()


class ImageLabelsParameters(Body):
    candidate_labels: ZeroShotLabels
    hypothesis_template: Template | None = None


class ImageLabelsBody(HubImageBody):
    parameters: ImageLabelsParameters


class DetectionParameters(Body):
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class DetectionBody(HubImageBody):
    parameters: DetectionParameters = DetectionParameters()


class SegmentationBody(HubImageBody):
    parameters: image_models.SegmentationParameters = image_models.SegmentationParameters()


class CaptionBounds(Body):
    max_new_tokens: TokenCount | None = None


class ImageToTextParameters(CaptionBounds):
    generation_parameters: CaptionBounds | None = None


class ImageToTextBody(HubImageBody):
    parameters: ImageToTextParameters = ImageToTextParameters()

    @property
    def max_new_tokens(self) -> int | None:
        nested = self.parameters.generation_parameters
        return self.parameters.max_new_tokens or (nested.max_new_tokens if nested else None)


class QuestionParameters(Body):
    top_k: TopK | None = None


class HubQuestionBody(Body):
    """A question about an image: beside ``inputs``, as the client sends it, or with it in there.

    The client sends the image twice, under ``inputs`` and ``image``.
    """

    inputs: ImageSent = Field(description="the image, or an object with `image` and `question`")
    question: Text
    image: NoEffect[ImageSent | None] = None
    parameters: QuestionParameters = QuestionParameters()
    options: NoOptions = None

    @model_validator(mode="before")
    @classmethod
    def _unfolded(cls, body: Any) -> Any:
        pair = body.get("inputs") if isinstance(body, Mapping) else None
        if not (isinstance(pair, Mapping) and set(pair) == {"image", "question"}):
            return body
        return {**body, "inputs": pair["image"], "question": pair["question"]}


@hub_tasks.task(
    "image-classification", image_models.IMAGE_CLASSIFY, from_file=ImageClassificationBody.of
)
async def image_classification(
    body: ImageClassificationBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{label, score}]``, the ``top_k`` best first."""
    labels = await image_models.label_image(
        await _image(body, services),
        card,
        services,
        FIELDS,
        top_k=body.parameters.top_k or 5,
        scores=body.parameters.function_to_apply,
    )
    return context.bare_list([_label(each) for each in labels], card.name)


@hub_tasks.task(
    "zero-shot-image-classification",
    image_models.IMAGE_ZERO_SHOT,
    distinguishing={"candidate_labels"},
)
async def zero_shot_image_classification(
    body: ImageLabelsBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{label, score}]`` of the labels given, best first."""
    given = tuple(body.parameters.candidate_labels)
    labels = await image_models.label_image(
        await _image(body, services),
        card,
        services,
        FIELDS,
        top_k=len(given),
        labels=given,
        template=body.parameters.hypothesis_template,
    )
    return context.bare_list([_label(each) for each in labels], card.name)


@hub_tasks.task("object-detection", image_models.DETECT, from_file=DetectionBody.of)
async def object_detection(
    body: DetectionBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{label, score, box}]``, best first; boxes in whole pixels of the image."""
    threshold = 0.5 if body.parameters.threshold is None else body.parameters.threshold
    image = await _image(body, services)
    found = await image_models.find_objects(image, threshold, card, services, FIELDS)
    return context.bare_list([_with_box(each) for each in found], card.name)


@hub_tasks.task("image-segmentation", image_models.SEGMENT, from_file=SegmentationBody.of)
async def image_segmentation(
    body: SegmentationBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{label, score, mask}]``; the mask is a PNG in base64, the score of a label of pixels
    null."""
    image = await _image(body, services)
    segments = await image_models.segment_image(image, body.parameters, card, services, FIELDS)
    return context.bare_list(segments, card.name)


@hub_tasks.task("image-to-text", image_models.CAPTION, from_file=ImageToTextBody.of)
async def image_to_text(
    body: ImageToTextBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{generated_text}]``, decoded greedily; the object alone for clients that read that."""
    image = await _image(body, services)
    caption = await image_models.caption_image(
        image, card, services, FIELDS, max_new_tokens=body.max_new_tokens
    )
    shown = {"generated_text": caption.text}
    javascript = version_of(JAVASCRIPT, context)
    if javascript is not None and javascript >= FIRST_JAVASCRIPT_WITH_ONE_CAPTION:
        return json_response(shown, {"X-Model": card.name})
    return context.bare_list([shown], card.name)


@hub_tasks.task(
    "visual-question-answering", image_models.VISUAL_QUESTION, distinguishing={"question"}
)
async def visual_question_answering(
    body: HubQuestionBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{answer, score}]``, best first; no score from a model that writes its answer."""
    check_prompt(body.question, services.settings, "question")
    image = await services.files.received(body.inputs, IMAGE, services.settings, "inputs")
    answers = await image_models.answer_question(
        image, body.question, card, services, FIELDS, top_k=body.parameters.top_k or 5
    )
    shown = [{"answer": each.answer, "score": each.score} for each in answers]
    return context.bare_list(shown, card.name)


async def _image(body: HubImageBody, services: Services) -> bytes:
    return await services.files.received(body.inputs, IMAGE, services.settings, "inputs")


def _label(each: LabelScore | Detection) -> dict[str, Any]:
    return {"label": each.label, "score": each.score}


def _with_box(each: Detection) -> dict[str, Any]:
    box = {name: round(getattr(each, name)) for name in ("xmin", "ymin", "xmax", "ymax")}
    return {**_label(each), "box": box}
