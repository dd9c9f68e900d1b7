"""Segments of images are those of transformers' pipeline, at any size, and bounded."""

from __future__ import annotations

import asyncio
import io
import threading
from base64 import b64decode
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from PIL import Image
from torch.nn import functional as F  # noqa: N812
from transformers import pipeline

from deployments.images import segmentation
from deployments.images.segmentation import segmenter
from deployments.seam.problems import Problem
from deployments.seam.vision import SegmentationRequest, SegmentationResult
from deployments.vision import Vision
from tests.deployments.conftest import Configured
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.pictures import noise
from tests.deployments.tiny_segmenters import KINDS, SIDE, saved_segmenter

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

Open: TypeAlias = Callable[..., Vision]
SIZE = (90, 70)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("segmentation")
    return {kind: saved_segmenter(home / kind, kind) for kind in KINDS}


@pytest.fixture
def family(configured: Configured, folders: dict[str, Path]) -> Open:
    def opened(kind: str, **settings: Any) -> Vision:
        return Vision(configured(folders[kind], settings, tasks=("segment",)))

    return opened


async def segmented(family: Vision, image: bytes, **given: Any) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return await family.segment(SegmentationRequest("tiny", image, **given))


Shown: TypeAlias = list[tuple[str, float | None, tuple[int, int], bytes]]
"""Labels, scores, and the sizes and pixels of masks."""


def shown(answer: Any) -> Shown:
    assert isinstance(answer, SegmentationResult), answer
    masks = [Image.open(io.BytesIO(b64decode(each.mask))) for each in answer.items]
    assert {(mask.format, mask.mode) for mask in masks} <= {("PNG", "L")}
    return [
        (each.label, each.score, mask.size, mask.tobytes())
        for each, mask in zip(answer.items, masks, strict=True)
    ]


@pytest.fixture(scope="session")
def of_pipeline(folders: dict[str, Path]) -> Callable[..., Shown]:
    """What the pipeline of transformers answers."""

    @cache
    def opened(kind: str) -> Any:
        return pipeline("image-segmentation", model=str(folders[kind]))

    def answered(kind: str, image: bytes, **given: Any) -> Shown:
        found = opened(kind)(Image.open(io.BytesIO(image)).convert("RGB"), **given)
        return [
            (each["label"], each["score"], each["mask"].size, each["mask"].tobytes())
            for each in found
        ]

    return answered


@pytest.mark.parametrize(
    ("kind", "given", "at_least"),
    [
        ("segformer", {}, 3),
        ("detr", {}, 1),
        ("detr", {"subtask": "instance", "threshold": 0.2, "overlap_mask_area_threshold": 0.1}, 2),
        ("detr", {"subtask": "semantic"}, 1),
        ("maskformer", {"threshold": 0.2}, 2),
        ("maskformer", {"subtask": "instance", "threshold": 0.1}, 2),
        ("mask2former", {"subtask": "panoptic", "threshold": 0.2, "mask_threshold": 0.4}, 3),
        ("mask2former", {"subtask": "instance", "threshold": 0.2}, 3),
        ("mask2former", {"subtask": "semantic"}, 3),
    ],
)
async def test_segments_are_those_of_the_pipeline(
    family: Open,
    of_pipeline: Callable[..., Shown],
    kind: str,
    given: dict[str, Any],
    at_least: int,
) -> None:
    image = noise(1, SIZE)
    found = shown(await segmented(family(kind), image, **given))
    assert found == of_pipeline(kind, image, **given)
    assert len(found) >= at_least


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (SIDE, SIDE), (500, 400)])
async def test_masks_have_the_size_of_the_image(
    family: Open, of_pipeline: Callable[..., Shown], size: tuple[int, int]
) -> None:
    image = noise(2, size)
    found = shown(await segmented(family("segformer"), image))
    assert found == of_pipeline("segformer", image)


async def test_a_neighbour_changes_nothing_and_may_want_something_else(family: Open) -> None:
    model = family("mask2former", batch_size=8)
    asked: list[dict[str, Any]] = [
        {"subtask": "semantic"},
        {"threshold": 0.2},
        {"threshold": 1.0},
        {"subtask": "instance", "threshold": 0.2},
    ]
    images = [noise(seed, (40 + seed, 30)) for seed in range(len(asked))]
    pairs = list(zip(images, asked, strict=True))
    alone = [shown(await segmented(model, image, **given)) for image, given in pairs]
    together = await asyncio.gather(*(segmented(model, image, **given) for image, given in pairs))
    assert [[each[0] for each in shown(answer)] for answer in together] == [
        [each[0] for each in answer] for answer in alone
    ]
    assert [bool(answer) for answer in alone] == [True, True, False, True]


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        ("segformer", {"subtask": "panoptic"}, "subtask"),
        ("segformer", {"threshold": 0.5}, "threshold"),
        ("segformer", {"subtask": "semantic", "mask_threshold": 0.0}, "mask_threshold"),
        ("mask2former", {"subtask": "semantic", "threshold": 0.5}, "threshold"),
        ("maskformer", {"subtask": "instance", "mask_threshold": 0.4}, "mask_threshold"),
    ],
)
async def test_what_would_have_no_effect_is_refused(
    family: Open, kind: str, given: dict[str, Any], field: str
) -> None:
    answer = await segmented(family(kind), noise(1), **given)
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", field)


async def test_more_mask_pixels_than_the_limit_are_refused(family: Open) -> None:
    small, large = noise(1, (10, 10)), noise(1, SIZE)
    model = family("segformer", max_mask_pixels=6 * 10 * 10)
    assert shown(await segmented(model, small))
    answer = await segmented(model, large)
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "image")
    assert "masks of 90 x 70 pixels" in answer.message
    assert "600 pixels" in answer.message


async def test_files_of_masks_are_bounded_in_bytes(
    family: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = family("segformer"), noise(1, SIZE)
    assert len(shown(await segmented(model, image))) > 1
    monkeypatch.setattr(segmentation, "MAX_MASK_BYTES", 200)
    answer = await segmented(model, image)
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "image")
    assert "200 bytes" in answer.message


async def test_answers_that_wait_to_be_finished_are_bounded_in_bytes(
    family: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    best_classes, may_finish = segmentation._best_classes, threading.Event()

    def held(*given: Any) -> Any:
        assert may_finish.wait(PATIENCE_S)
        return best_classes(*given)

    monkeypatch.setattr(segmentation, "_best_classes", held)
    images = [noise(seed) for seed in range(8)]
    model = family("segformer", max_waiting_bytes=sum(map(len, images)))  # room for all files
    waiting = [asyncio.ensure_future(segmented(model, image)) for image in images]
    first, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert {each.result().kind for each in first} == {"overloaded"}
    may_finish.set()
    answers = await asyncio.gather(*waiting)
    assert any(isinstance(each, SegmentationResult) for each in answers)
    assert shown(await segmented(model, images[0]))


async def test_only_classes_that_may_win_a_pixel_are_scaled() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(40, 6, 7, generator=generator)
    scores[10:] -= 4  # these lose almost everywhere
    kept = segmentation._winners(scores)
    scaled = F.interpolate(scores[None], size=(200, 300), mode="bilinear")[0]
    winners = set(scaled.argmax(0).flatten().tolist())
    assert winners <= set(torch.nonzero(kept).flatten().tolist())
    assert int(kept.sum()) < 40
    smaller = F.interpolate(scores[None], size=(4, 3), mode="bilinear")[0]
    assert bool(kept[smaller.argmax(0)].all())


async def test_a_processor_that_makes_no_segments_is_refused(folders: dict[str, Path]) -> None:
    model, _ = KINDS["segformer"]()
    with pytest.raises(ValueError, match="makes no segments"):
        segmenter(model, object(), "cpu")
