"""Images, asked of models: their labels, captions, answers and objects.

``fields`` are the route's names for the fields of the model side, for errors. Images are checked
encoded files.
"""

from __future__ import annotations

from collections.abc import Mapping

from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.problems import Problem
from deployments.seam.vision import (
    Detection,
    DetectionRequest,
    DetectionResult,
    ImageClassificationRequest,
    VisualAnswer,
    VisualQuestionRequest,
    VisualQuestionResult,
)
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.context import Services

IMAGE_CLASSIFY, IMAGE_ZERO_SHOT = "image_classify", "image_zero_shot"
CAPTION, VISUAL_QUESTION, DETECT = "caption", "visual_question", "detect"


async def label_image(
    request: ImageClassificationRequest,
    card: ModelCard,
    services: Services,
    fields: Mapping[str, str],
) -> tuple[LabelScore, ...]:
    """The image's ``top_k`` labels, best first."""
    result: ClassificationResult = await services.client.call(
        card.family, "classify_image", request, fields
    )
    (item,) = result.items
    if isinstance(item, Problem):
        raise from_problem(item, fields)
    return item


async def caption_image(
    request: CaptionRequest, card: ModelCard, services: Services, fields: Mapping[str, str]
) -> CaptionResult:
    """The image in words, decoded greedily."""
    caption: CaptionResult = await services.client.call(card.family, "caption", request, fields)
    return caption


async def answer_question(
    request: VisualQuestionRequest, card: ModelCard, services: Services, fields: Mapping[str, str]
) -> tuple[VisualAnswer, ...]:
    """Answers to a question about the image, best first."""
    result: VisualQuestionResult = await services.client.call(
        card.family, "answer_question", request, fields
    )
    return result.items


async def find_objects(
    request: DetectionRequest, card: ModelCard, services: Services, fields: Mapping[str, str]
) -> tuple[Detection, ...]:
    """The objects in the image, best first."""
    result: DetectionResult = await services.client.call(card.family, "detect", request, fields)
    return result.items
