"""Calls of image models: labels, captions, answers, objects and segments.

``image`` is a checked encoded file; ``fields`` are the route's names for the fields of the model
side, for errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from deployments.seam import vision
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.classification import ClassificationResult, LabelScore, ScoreFunction
from deployments.seam.problems import Problem
from serve_app.ingress.errors import from_problem
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services
from serve_app.ingress.validation.fields import Body

IMAGE_CLASSIFY, IMAGE_ZERO_SHOT = "image_classify", "image_zero_shot"
CAPTION, VISUAL_QUESTION = "caption", "visual_question"
DETECT, SEGMENT = "detect", "segment"

Threshold = Annotated[float, Field(ge=0, le=1)]


class SegmentationParameters(Body):
    """Which segments are wanted. What has no effect on a model's segments is refused by it."""

    subtask: vision.Subtask | None = Field(
        None, description="the first of panoptic, instance and semantic that the model can"
    )
    threshold: Threshold | None = Field(None, description="of a segment's score; usually 0.9")
    mask_threshold: Threshold | None = Field(
        None, description="of a pixel's probability of being in a mask; usually 0.5"
    )
    overlap_mask_area_threshold: Threshold | None = Field(
        None, description="the part of a mask that is left beside other masks; usually 0.5"
    )

    def segmentation(self, model: str, image: bytes) -> vision.SegmentationRequest:
        """The request of these parameters."""
        return vision.SegmentationRequest(
            model,
            image,
            self.subtask,
            self.threshold,
            self.mask_threshold,
            self.overlap_mask_area_threshold,
        )


async def label_image(
    image: bytes,
    card: ModelCard,
    services: Services,
    fields: Mapping[str, str],
    *,
    top_k: int = 5,
    labels: tuple[str, ...] = (),
    template: str | None = None,
    scores: ScoreFunction | None = None,
) -> tuple[LabelScore, ...]:
    """The image's ``top_k`` labels, best first: of ``labels``, or of the model's own."""
    request = vision.ImageClassificationRequest(card.name, image, top_k, labels, template, scores)
    result: ClassificationResult = await services.client.call(
        card.family, "classify_image", request, fields
    )
    (item,) = result.items
    if isinstance(item, Problem):
        raise from_problem(item, fields)
    return item


async def caption_image(
    image: bytes,
    card: ModelCard,
    services: Services,
    fields: Mapping[str, str],
    *,
    max_new_tokens: int | None = None,
) -> CaptionResult:
    """The image in words, decoded greedily."""
    request = CaptionRequest(card.name, image, max_new_tokens=max_new_tokens)
    caption: CaptionResult = await services.client.call(card.family, "caption", request, fields)
    return caption


async def answer_question(
    image: bytes,
    question: str,
    card: ModelCard,
    services: Services,
    fields: Mapping[str, str],
    *,
    top_k: int = 1,
) -> tuple[vision.VisualAnswer, ...]:
    """Answers to a question about the image, best first."""
    request = vision.VisualQuestionRequest(card.name, image, question, top_k)
    result: vision.VisualQuestionResult = await services.client.call(
        card.family, "answer_question", request, fields
    )
    return result.items


async def find_objects(
    image: bytes, threshold: float, card: ModelCard, services: Services, fields: Mapping[str, str]
) -> tuple[vision.Detection, ...]:
    """The objects in the image whose score is at least ``threshold``, best first."""
    request = vision.DetectionRequest(card.name, image, threshold)
    result: vision.DetectionResult = await services.client.call(
        card.family, "detect", request, fields
    )
    return result.items


async def segment_image(
    image: bytes,
    parameters: SegmentationParameters,
    card: ModelCard,
    services: Services,
    fields: Mapping[str, str],
) -> list[dict[str, Any]]:
    """``[{label, score, mask}]``; the mask is a PNG file in base64."""
    request = parameters.segmentation(card.name, image)
    result: vision.SegmentationResult = await services.client.call(
        card.family, "segment", request, fields
    )
    return [{"label": each.label, "score": each.score, "mask": each.mask} for each in result.items]
