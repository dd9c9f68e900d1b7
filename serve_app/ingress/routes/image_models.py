"""Calls of image models: labels, captions, answers and objects.

``image`` is a checked encoded file; ``fields`` are the route's names for the fields of the model
side, for errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from deployments.seam import vision
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.classification import ClassificationResult, LabelScore, ScoreFunction
from deployments.seam.problems import Problem
from serve_app.ingress.errors import from_problem
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services

IMAGE_CLASSIFY, IMAGE_ZERO_SHOT = "image_classify", "image_zero_shot"
CAPTION, VISUAL_QUESTION, DETECT = "caption", "visual_question", "detect"


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
