"""Text to image: what is made as asked, what is refused, and which pipelines are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from deployments.image_generation import ImageGeneration
from deployments.seam.problems import Problem
from tests.deployments.conftest import Configured
from tests.deployments.families import family_of, started
from tests.deployments.image_generation.image_requests import (
    PIPELINES,
    PROMPT,
    ROUNDING,
    TASK,
    made,
    pixels,
    refused,
    same,
)
from tests.deployments.tiny_pipelines import SIDE, WINDOW, stable_diffusion

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.usefixtures("in_replica"),
    # Schedulers of diffusers make arrays of tensors, which torch does in an old way.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]


@pytest.mark.parametrize("name", PIPELINES)
async def test_an_image_is_that_of_the_pipeline_itself(folders: dict[str, Path], name: str) -> None:
    family = ImageGeneration(family_of(folders[name], TASK))
    result = await made(family, width=40, height=24, guidance_scale=4.0)
    pipeline = getattr(diffusers, name).from_pretrained(folders[name])
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        PROMPT,
        width=40,
        height=24,
        num_inference_steps=3,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(1),
    )
    assert (result.width, result.height) == (40, 24)
    difference = np.abs(pixels(result.items[0]) - np.asarray(expected.images[0]))
    assert difference.max() <= ROUNDING


async def test_what_a_request_leaves_open_is_as_usual_for_the_model(plain: Path) -> None:
    usual = ImageGeneration(family_of(plain, TASK))
    own = ImageGeneration(family_of(plain, TASK, steps=3, guidance_scale=2.0))
    (image,) = (await made(own, steps=None)).items
    assert pixels(image).shape == (SIDE, SIDE, 3)
    assert same(image, (await made(usual, guidance_scale=2.0)).items[0])
    assert not same(image, (await made(usual)).items[0])
    assert same((await made(usual)).items[0], (await made(usual, guidance_scale=7.5)).items[0])


async def test_a_prompt_is_read_in_full_or_refused(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        family = ImageGeneration(family_of(folder, TASK))
        fits = " ".join(["circle"] * (WINDOW - 2))
        assert (await made(family, prompt=fits)).tokens == WINDOW
        problem = await refused(family, prompt=f"{fits} red")
        assert (problem.kind, problem.field) == ("context_length", "prompt")
        assert str(WINDOW) in problem.message


async def test_a_negative_prompt_leads_away_from_itself_or_is_refused(
    folders: dict[str, Path], plain: Path
) -> None:
    family = ImageGeneration(family_of(plain, TASK))
    (without,) = (await made(family)).items
    assert not same(without, (await made(family, negative_prompt="a blue square")).items[0])
    for more in ({"guidance_scale": 1.0}, {"negative_prompt": "circle " * WINDOW}):
        problem = await refused(family, **({"negative_prompt": "a"} | more))
        assert problem.field == "negative_prompt"
    consistency = ImageGeneration(family_of(folders["LatentConsistencyModelPipeline"], TASK))
    assert (await refused(consistency, negative_prompt="a")).field == "negative_prompt"


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
async def test_an_empty_negative_prompt_asks_for_nothing(
    folders: dict[str, Path], name: str, guidance_scale: float
) -> None:
    family = ImageGeneration(family_of(folders[name], TASK))
    without = await made(family, guidance_scale=guidance_scale)
    empty = await made(family, guidance_scale=guidance_scale, negative_prompt="")
    assert same(without.items[0], empty.items[0])
    assert without.tokens == empty.tokens


@pytest.mark.parametrize(
    ("more", "field"),
    [({"width": 33}, "width"), ({"height": 12}, "height"), ({"steps": 51}, "steps")],
)
async def test_what_the_pipeline_cannot_make_is_refused_by_name(
    folders: dict[str, Path], more: dict[str, Any], field: str
) -> None:
    family = ImageGeneration(family_of(folders["LatentConsistencyModelPipeline"], TASK))
    problem = await refused(family, **more)
    assert (problem.kind, problem.field) == ("validation", field)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"width": 99_992}, "width"),
        ({"height": 99_992}, "height"),
        ({"width": 64, "height": 64}, "width"),
        ({"steps": 21}, "steps"),
    ],
)
async def test_an_image_is_bounded_where_the_model_fills_in_a_side(
    configured: Configured, plain: Path, more: dict[str, Any], field: str
) -> None:
    limits = {"max_generated_pixels": SIDE * 2 * SIDE, "max_denoising_steps": 20}
    family = await started(ImageGeneration(configured(plain, limits, tasks=(TASK,))))
    problem = await refused(family, **more)
    assert (problem.kind, problem.field) == ("validation", field)
    assert f"the limit is {20 if field == 'steps' else SIDE * 2 * SIDE}" in problem.message
    assert (await made(family, width=2 * SIDE)).width == 2 * SIDE


async def test_a_model_whose_own_size_or_steps_exceed_the_limits_makes_smaller_images(
    configured: Configured, plain: Path
) -> None:
    limits = {"max_generated_pixels": SIDE * SIDE - 1, "max_denoising_steps": 20}
    family = await started(ImageGeneration(configured(plain, limits, tasks=(TASK,))))
    problem = await refused(family)
    assert problem.field == "width"
    assert f"{SIDE} x {SIDE} pixels, with the model's own width and height;" in problem.message
    problem = await refused(family, width=8, steps=None)
    assert problem.message == "the image would take 50 steps; the limit is 20"
    assert (await made(family, width=8)).width == 8


async def test_the_smallest_image_is_made(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        (image,) = (await made(ImageGeneration(family_of(folder, TASK)), width=8, height=8)).items
        assert pixels(image).shape == (8, 8, 3)


async def test_an_image_that_the_safety_checker_blackens_is_a_problem(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(ImageGeneration(family_of(plain, TASK)))
    monkeypatch.setattr(
        diffusers.StableDiffusionPipeline,
        "run_safety_checker",
        lambda self, image, device, dtype: (image, [True, False]),
    )
    first, second = (await made(family, seeds=(1, 2))).items
    assert isinstance(first, Problem)
    assert (first.kind, first.field) == ("validation", "prompt")
    assert isinstance(second, bytes)


def _renamed(folder: Path) -> None:
    _edit(folder, lambda index: index | {"_class_name": "FluxPipeline"})


def _with_code(folder: Path) -> None:
    _edit(folder, lambda index: index | {"unet": ["own_code", "OwnUNet"]})


def _not_an_object(folder: Path) -> None:
    (folder / "model_index.json").write_text("[]")


def _without_unet(folder: Path) -> None:
    _edit(folder, lambda index: index | {"unet": [None, None]})


def _nested(folder: Path) -> None:
    _edit(folder, lambda index: index | {"unet": ["diffusers", "StableDiffusionPipeline"]})


def _edit(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    file = folder / "model_index.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def _pickled(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_renamed, "it is a FluxPipeline"),
        (_with_code, "its unet has code of its own"),
        (_not_an_object, "its model_index.json is not an object"),
        (_without_unet, "it has no unet"),
        (_nested, "its unet is a StableDiffusionPipeline"),
        (_pickled, "it has no safetensors weights"),
    ],
)
async def test_what_is_not_run_here_is_not_loaded_and_the_reason_is_told(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    folder = stable_diffusion(tmp_path / "model")
    spoil(folder)
    family = ImageGeneration(family_of(folder, TASK, pinned=False))
    problem = await refused(family)
    assert problem.kind == "unavailable"
    assert reason in problem.message


async def test_a_checkpoint_in_half_precision_alone_is_loaded(tmp_path: Path, plain: Path) -> None:
    folder = stable_diffusion(tmp_path / "model")
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    half = ImageGeneration(family_of(folder, TASK))
    assert same(
        (await made(half)).items[0], (await made(ImageGeneration(family_of(plain, TASK)))).items[0]
    )
