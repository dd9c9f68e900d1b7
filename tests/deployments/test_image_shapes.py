"""Every kind of image model gives a result or a problem for images of every shape and mode."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipForQuestionAnswering

from deployments.captioning import Captioning
from deployments.images.preprocessing import refuse_elongated
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.classification import ClassificationResult
from deployments.seam.problems import Problem
from deployments.seam.vision import (
    DetectionRequest,
    DetectionResult,
    ImageClassificationRequest,
    SegmentationRequest,
    SegmentationResult,
    VisualQuestionRequest,
    VisualQuestionResult,
)
from deployments.vision import Vision
from tests.deployments.conftest import Configured
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.pictures import encoded, noise
from tests.deployments.test_captioning import blip
from tests.deployments.tiny_classifiers import saved_clip, vit
from tests.deployments.tiny_segmenters import saved_segmenter

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

Ask: TypeAlias = Callable[[bytes], Awaitable[Any]]
PACKAGED = Path(str(files("configs.shapes")))
ANSWERS = (
    *(CaptionResult, ClassificationResult, DetectionResult),
    *(SegmentationResult, VisualQuestionResult),
)
KINDS = [
    *["classify", "zero-shot", "detect", "segment"],
    *["question", "caption", "BLIP question", "BLIP caption"],
]

SIZES = [
    *[(1, 1), (2, 2), (3, 3), (1, 2), (1, 64), (1, 1000), (3, 500), (7, 300), (33, 31)],
    *[(1414, 100), (2000, 100), (1333, 2), (20_000, 1), (20_000, 100)],
]
MODES = [
    *[("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG")],
    *[("CMYK", "JPEG"), ("CMYK", "TIFF"), ("F", "TIFF"), ("I", "TIFF"), ("LAB", "TIFF")],
    *[("RGB", "GIF"), ("RGB", "BMP"), ("RGBA", "WEBP"), ("RGBA", "AVIF")],
]


@pytest.fixture(scope="session", params=KINDS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A kind of model, its folder, and a request to it."""
    made: tuple[Path, Any, str]
    folder, kind = tmp_path_factory.mktemp("shapes") / "model", request.param
    question = "what color is it?"
    match kind:
        case "classify":
            made = vit(folder), Vision, "image_classify"
        case "zero-shot":
            made = saved_clip(folder), Vision, "image_zero_shot"
        case "detect":
            made = PACKAGED / "detection", Vision, "detect"
        case "segment":
            made = saved_segmenter(folder), Vision, "segment"
        case "question":
            made = PACKAGED / "questions", Vision, "visual_question"
        case "caption":
            made = PACKAGED / "captions", Captioning, "caption"
        case "BLIP question":
            made = blip(folder, BlipForQuestionAnswering), Captioning, "visual_question"
            question = "w1 w2"
        case _:
            made = blip(folder, BlipForConditionalGeneration), Captioning, "caption"
    return *made, question


@pytest.fixture
async def ask(built: Any, configured: Configured) -> Ask:
    folder, family_class, task, question = built
    family = family_class(configured(folder, {"batch_size": 8}, tasks=(task,)))
    match task:
        case "image_classify":
            return lambda raw: family.classify_image(ImageClassificationRequest("tiny", raw))
        case "image_zero_shot":
            labels = ("w1", "w2")
            return lambda raw: family.classify_image(
                ImageClassificationRequest("tiny", raw, labels=labels)
            )
        case "detect":
            return lambda raw: family.detect(DetectionRequest("tiny", raw, 0.0))
        case "visual_question":
            return lambda raw: family.answer_question(VisualQuestionRequest("tiny", raw, question))
        case "segment":
            return lambda raw: family.segment(SegmentationRequest("tiny", raw))
    return lambda raw: family.caption(CaptionRequest("tiny", raw))


async def answered(ask: Ask, *images: bytes) -> list[Any]:
    async with asyncio.timeout(4 * PATIENCE_S):
        return list(await asyncio.gather(*map(ask, images)))


async def test_an_image_of_any_shape_gets_a_result_or_a_problem_of_its_own(ask: Ask) -> None:
    sizes = [*SIZES, *(size[::-1] for size in SIZES)]
    ordinary = noise(1)
    *answers, neighbour = await answered(
        ask, *(encoded(Image.new("RGB", size)) for size in sizes), ordinary
    )
    assert isinstance(neighbour, ANSWERS)
    for size, answer in zip(sizes, answers, strict=True):
        if not isinstance(answer, ANSWERS):
            assert isinstance(answer, Problem), size
            assert (answer.kind, answer.field) == ("validation", "image"), size
            assert f"{size[0]} x {size[1]}" in answer.message
            assert max(size) > 10 * min(size), size


async def test_every_mode_is_answered(ask: Ask) -> None:
    images = [encoded(Image.new(mode, (40, 30)), kind) for mode, kind in MODES]
    palette = Image.new("P", (40, 30))
    palette.putpalette([1, 2, 3, 4, 5, 6])
    images.append(encoded(palette, transparency=0))
    for answer in await answered(ask, *images):
        assert isinstance(answer, ANSWERS), answer


async def test_an_image_that_a_processor_would_scale_to_gigabytes_is_refused() -> None:
    def preprocess(image: Any, request: Any) -> str:
        return "preprocessed"

    def checked(width: int, height: int, **processor: Any) -> str | Problem:
        size = SimpleNamespace(shortest_edge=224, **processor)
        images = SimpleNamespace(image_processor=SimpleNamespace(size=size, do_resize=True))
        return refuse_elongated(preprocess, images)(Image.new("1", (width, height)), None)

    for width, height in ((20_000, 1), (1, 20_000), (20_000, 50)):
        answer = checked(width, height)
        assert isinstance(answer, Problem)
        assert (answer.kind, answer.field) == ("validation", "image")
        assert f"{width} x {height}" in answer.message
        assert checked(width, height, longest_edge=1333) == "preprocessed"
    for width, height in ((300, 1), (1, 64), (2000, 100), (20_000, 80)):
        assert checked(width, height) == "preprocessed"
