"""The accuracy of the three shape models on held-out drawings, through their families."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from deployments.captioning import Captioning
from deployments.images.boxes import overlap
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.vision import (
    DetectionRequest,
    DetectionResult,
    VisualQuestionRequest,
    VisualQuestionResult,
)
from deployments.vision import Vision
from tests.deployments.conftest import Configured
from tests.deployments.pictures import RED, drawn, encoded
from tests.shapes.drawing import KINDS, Drawing, drawing
from tests.shapes.sentences import caption

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

FOLDERS = Path(str(files("configs.shapes")))
HELD_OUT = 7_000_000
"""A seed that training does not use."""
DRAWINGS = 100


@pytest.fixture(scope="module")
def singles() -> list[Drawing]:
    dice = random.Random(HELD_OUT)
    return [drawing(dice) for _ in range(DRAWINGS)]


@pytest_asyncio.fixture(loop_scope="session")
async def captions(configured: Configured) -> Captioning:
    return Captioning(configured(FOLDERS / "captions", {"batch_size": 32}, tasks=("caption",)))


@pytest_asyncio.fixture(loop_scope="session")
async def questions(configured: Configured) -> Vision:
    return Vision(configured(FOLDERS / "questions", {"batch_size": 32}, tasks=("visual_question",)))


@pytest_asyncio.fixture(loop_scope="session")
async def detection(configured: Configured) -> Vision:
    return Vision(configured(FOLDERS / "detection", {"batch_size": 32}, tasks=("detect",)))


async def described(family: Captioning, image: bytes) -> str:
    answer = await family.caption(CaptionRequest("tiny", image))
    assert isinstance(answer, CaptionResult)
    return answer.text


async def asked(family: Vision, image: bytes, question: str) -> str:
    answer = await family.answer_question(VisualQuestionRequest("tiny", image, question))
    assert isinstance(answer, VisualQuestionResult)
    return answer.items[0].answer


async def found(family: Vision, image: bytes) -> DetectionResult:
    answer = await family.detect(DetectionRequest("tiny", image, 0.5))
    assert isinstance(answer, DetectionResult)
    return answer


def share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


async def test_each_model_is_small_and_safe() -> None:
    for name in ("captions", "questions", "detection"):
        (weights,) = (FOLDERS / name).glob("*.safetensors")
        assert weights.stat().st_size < 1_000_000
        assert not list((FOLDERS / name).glob("*.bin"))


async def test_drawings_depend_only_on_the_seed() -> None:
    one, other = (drawing(random.Random(5), 2) for _ in range(2))
    assert one.shapes == other.shapes
    assert one.image.tobytes() == other.image.tobytes()


async def test_captions_are_exact(captions: Captioning, singles: list[Drawing]) -> None:
    texts = await asyncio.gather(*(described(captions, encoded(d.image)) for d in singles))
    right = [text == caption(d.shapes[0]) for text, d in zip(texts, singles, strict=True)]
    assert share(right) >= 0.95


async def test_colours_and_kinds_are_answered(questions: Vision, singles: list[Drawing]) -> None:
    for question, about in (("What color is it?", "colour"), ("What shape is it?", "kind")):
        answers = await asyncio.gather(
            *(asked(questions, encoded(d.image), question) for d in singles)
        )
        right = [a == getattr(d.shapes[0], about) for a, d in zip(answers, singles, strict=True)]
        assert share(right) >= 0.95, question


async def test_one_shape_is_found_where_it_is(detection: Vision, singles: list[Drawing]) -> None:
    """Its kind, and a box in pixels of the drawing, whose size is not the model's."""
    hits, overlaps = [], []
    answers = await asyncio.gather(*(found(detection, encoded(d.image)) for d in singles))
    for answer, drawn_ in zip(answers, singles, strict=True):
        best = answer.items[0] if answer.items else None
        hits.append(best is not None and best.label == drawn_.shapes[0].kind)
        if best is not None:
            box = np.array([best.xmin, best.ymin, best.xmax, best.ymax])
            overlaps.append(overlap(box, np.array(drawn_.shapes[0].box, float)))
    assert share(hits) >= 0.9
    assert sum(overlaps) / len(overlaps) >= 0.5  # measured 0.56: these boxes are rough


async def test_a_picture_four_times_as_large_gets_boxes_four_times_as_large(
    detection: Vision,
) -> None:
    small = await found(detection, encoded(drawn("circle", (75, 50, 175, 150), (300, 225))))
    large = await found(detection, encoded(drawn("circle", (300, 200, 700, 600), (1200, 900))))
    one, other = small.items[0], large.items[0]
    assert one.label == other.label == "circle"
    corners = [[each.xmin, each.ymin, each.xmax, each.ymax] for each in (one, other)]
    assert corners[1] == pytest.approx([4 * value for value in corners[0]], abs=12)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_drawing_made_by_other_means_is_understood(
    captions: Captioning, questions: Vision, kind: str
) -> None:
    image = encoded(drawn(kind, (50, 40, 130, 120), (200, 160), RED))
    assert await described(captions, image) == f"a red {kind}"
    assert await asked(questions, image, "What color is it?") == "red"
    assert await asked(questions, image, "What shape is it?") == kind
