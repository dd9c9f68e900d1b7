"""Text to image: pipelines of random weights, what shares a batch, and what ends early."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable
from importlib.resources import files as packaged_files
from itertools import product
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import DecoderTiny
from PIL import Image

from deployments.captioning import Captioning
from deployments.image_generation import ImageGeneration
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.image_generation import ImageGenerationRequest, ImageGenerationResult
from deployments.seam.problems import Problem
from tests.deployments.conftest import Configured
from tests.deployments.families import family_of, started
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.held_steps import STALL_S, HeldSteps, check_health_of_slow_steps
from tests.deployments.tiny_pipelines import (
    SIDE,
    WINDOW,
    latent_consistency,
    stable_diffusion,
    stable_diffusion_xl,
)
from tests.shapes.drawing import COLOURS, KINDS, Shape
from tests.shapes.training import caption

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.usefixtures("in_replica"),
    # Schedulers of diffusers make arrays of tensors, which torch does in an old way.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]

TASK = "image_generate"
PACKAGED = Path(str(packaged_files("configs.shapes")))
PROMPT = "a red circle"
PIPELINES = {
    "StableDiffusionPipeline": stable_diffusion,
    "StableDiffusionXLPipeline": stable_diffusion_xl,
    "LatentConsistencyModelPipeline": latent_consistency,
}
ROUNDING = 2
"""How far a colour may be apart, of 255: sums come in another order in batches of another size."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("pipelines")
    return {name: make(home / name) for name, make in PIPELINES.items()}


@pytest.fixture(scope="session")
def plain(folders: dict[str, Path]) -> Path:
    return folders["StableDiffusionPipeline"]


def asked(**more: Any) -> ImageGenerationRequest:
    usual: dict[str, Any] = {"prompt": PROMPT, "seeds": (1,), "steps": 3}
    return ImageGenerationRequest("tiny", **(usual | more))


async def made(family: ImageGeneration, **more: Any) -> ImageGenerationResult:
    async with asyncio.timeout(PATIENCE_S):
        answer = await family.generate_images(asked(**more))
    assert isinstance(answer, ImageGenerationResult), answer
    return answer


async def refused(family: ImageGeneration, **more: Any) -> Problem:
    answer = await family.generate_images(asked(**more))
    assert isinstance(answer, Problem), answer
    return answer


def pixels(item: bytes | Problem) -> np.ndarray[Any, Any]:
    assert isinstance(item, bytes), item
    image = Image.open(io.BytesIO(item))
    assert (image.format, image.mode) == ("PNG", "RGB")
    return np.asarray(image).astype(int)


def same(one: bytes | Problem, other: bytes | Problem) -> bool:
    return bool(np.abs(pixels(one) - pixels(other)).max() <= ROUNDING)


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


async def test_an_image_depends_on_its_seed_and_not_on_its_neighbours(
    configured: Configured, plain: Path
) -> None:
    family = await started(ImageGeneration(configured(plain, {"batch_size": 8}, tasks=(TASK,))))
    together = (await made(family, seeds=(3, 4, 5))).items
    alone = [(await made(family, seeds=(seed,))).items[0] for seed in (3, 4, 5)]
    assert all(map(same, together, alone))
    assert not same(alone[0], alone[1])
    others = await asyncio.gather(
        made(family, seeds=(4,)), made(family, prompt="a blue square"), made(family, seeds=(9,))
    )
    assert same(others[0].items[0], alone[1])


async def test_requests_of_one_size_steps_and_guidance_share_a_batch(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(ImageGeneration(family_of(plain, TASK)))
    rows: list[int] = []
    forward = UNet2DConditionModel.forward

    def watched(model: Any, sample: Any, *given: Any, **options: Any) -> Any:
        rows.append(len(sample))
        return forward(model, sample, *given, **options)

    monkeypatch.setattr(UNet2DConditionModel, "forward", watched)
    held = HeldSteps(monkeypatch, UNet2DConditionModel)
    asking = [asyncio.create_task(made(family, steps=1))]
    await held.reach(1)  # the others wait meanwhile
    others: list[dict[str, Any]] = [
        {"prompt": "a blue square"},
        {"seeds": (4, 5)},
        {"width": 16},
        {"guidance_scale": 1.0},
    ]
    asking += [asyncio.create_task(made(family, steps=1, **more)) for more in others]
    (loaded,) = family._models.loaded
    async with asyncio.timeout(PATIENCE_S):
        while loaded.model.lane.depth < 5:  # noqa: ASYNC110 - it counts, and tells nobody
            await asyncio.sleep(0)
    held.let_go()
    await asyncio.gather(*asking)
    assert rows[0] == 2  # with guidance there are two rows for an image
    assert sorted(rows[1:]) == [1, 2, 6]


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


async def test_a_batch_whose_callers_left_ends_at_its_next_step(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(ImageGeneration(family_of(plain, TASK)))
    held = HeldSteps(monkeypatch, UNet2DConditionModel)
    asking = asyncio.create_task(made(family, steps=20))
    await held.cancel(asking, 3)
    assert (await made(family, steps=2)).items
    assert held.taken == 3 + 2


async def test_an_image_goes_on_when_its_neighbour_is_not_wanted_any_more(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(ImageGeneration(family_of(plain, TASK)))
    (alone,) = (await made(family, steps=4)).items
    held = HeldSteps(monkeypatch, UNet2DConditionModel)
    staying = asyncio.create_task(made(family, steps=4))
    leaving = asyncio.create_task(made(family, steps=4, seeds=(2,)))
    await held.cancel(leaving, 2)
    assert same((await staying).items[0], alone)
    assert held.taken == 4


async def test_an_image_is_healthy_while_its_steps_come(
    configured: Configured, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(
        ImageGeneration(configured(plain, {"stall_timeout_s": STALL_S}, tasks=(TASK,)))
    )
    held = HeldSteps(monkeypatch, UNet2DConditionModel)
    await check_health_of_slow_steps(family, held, made(family, steps=5))


async def test_a_batch_is_healthy_while_its_images_are_decoded_one_by_one(
    configured: Configured, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(
        ImageGeneration(configured(plain, {"stall_timeout_s": STALL_S}, tasks=(TASK,)))
    )
    held = HeldSteps(monkeypatch, DecoderTiny)
    await check_health_of_slow_steps(family, held, made(family, steps=1, seeds=(1, 2, 3, 4)))
    assert held.taken == 4


async def test_images_whose_callers_left_are_not_decoded(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(ImageGeneration(family_of(plain, TASK)))
    held = HeldSteps(monkeypatch, DecoderTiny)
    asking = asyncio.create_task(made(family, steps=1, seeds=(1, 2, 3, 4)))
    await held.cancel(asking, 2)
    assert (await made(family, steps=1)).items
    assert held.taken == 2 + 1


async def test_a_request_is_checked_while_files_of_another_are_written(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(ImageGeneration(family_of(plain, TASK)))
    begun, goes_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def held(image: Any) -> bytes:
        loop.call_soon_threadsafe(begun.set)
        assert goes_on.wait(PATIENCE_S)
        return b"file"

    monkeypatch.setattr("deployments.image_generation._png", held)
    asking = asyncio.create_task(made(family, steps=1))
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
        try:
            assert (await refused(family, width=33)).field == "width"
            assert not asking.done()
        finally:
            goes_on.set()
        assert (await asking).items == (b"file",)


async def test_an_image_that_fails_leaves_its_neighbours(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(ImageGeneration(family_of(plain, TASK)))
    (loaded,) = family._models.loaded
    pipeline: Any = loaded.model.lane._runner.model.run
    call = type(pipeline.pipeline).__call__

    def bad_for_seed_2(self: Any, *given: Any, **options: Any) -> Any:
        if any(each.initial_seed() == 2 for each in options["generator"]):
            raise RuntimeError("bad seed")
        return call(self, *given, **options)

    monkeypatch.setattr(type(pipeline.pipeline), "__call__", bad_for_seed_2)
    first, second, third = (await made(family, seeds=(1, 2, 3))).items
    assert isinstance(second, Problem)
    assert second.kind == "internal"
    assert isinstance(first, bytes)
    assert isinstance(third, bytes)


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


async def test_images_that_wait_are_bounded_by_their_pixels(
    configured: Configured, plain: Path
) -> None:
    settings = {"max_waiting_bytes": SIDE * SIDE * 3, "batch_size": 1}
    family = await started(ImageGeneration(configured(plain, settings, tasks=(TASK,))))
    answers = await asyncio.gather(*(family.generate_images(asked()) for _ in range(4)))
    problems = [each for each in answers if isinstance(each, Problem)]
    assert {each.kind for each in problems} == {"overloaded"}
    assert len(problems) < len(answers)


async def test_the_packaged_pipeline_draws_what_its_prompt_says() -> None:
    """As the packaged model that writes captions sees it, which was trained on other drawings."""
    family = await started(ImageGeneration(family_of(PACKAGED / "generation", TASK)))
    viewer = await started(Captioning(family_of(PACKAGED / "captions", "caption")))
    prompts = [caption(Shape(*each, (0, 0, 0, 0))) for each in product(COLOURS, KINDS)]
    drawn = await asyncio.gather(
        *(made(family, prompt=each, steps=20, guidance_scale=2.0) for each in prompts)
    )
    files = [each.items[0] for each in drawn]
    seen = await asyncio.gather(*(captioned(viewer, file) for file in files))
    wrong = {prompt: text for prompt, text in zip(prompts, seen, strict=True) if prompt != text}
    assert len(prompts) == 18
    assert len(wrong) <= 2, wrong


async def captioned(viewer: Captioning, file: bytes | Problem) -> str:
    assert isinstance(file, bytes), file
    answer = await viewer.caption(CaptionRequest("tiny", file))
    assert isinstance(answer, CaptionResult), answer
    return answer.text
