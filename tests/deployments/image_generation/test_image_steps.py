"""Images that are made together step by step: which share a batch, end early, or fail alone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import DecoderTiny

from deployments.image_generation import ImageGeneration
from deployments.seam.problems import Problem
from tests.deployments.conftest import Configured
from tests.deployments.families import family_of, started
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.held_steps import STALL_S, HeldSteps, check_health_of_slow_steps
from tests.deployments.image_generation.image_requests import TASK, asked, made, refused, same
from tests.deployments.tiny_pipelines import SIDE

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.usefixtures("in_replica"),
    # Schedulers of diffusers make arrays of tensors, which torch does in an old way.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]


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


async def test_images_that_wait_are_bounded_by_their_pixels(
    configured: Configured, plain: Path
) -> None:
    settings = {"max_waiting_bytes": SIDE * SIDE * 3, "batch_size": 1}
    family = await started(ImageGeneration(configured(plain, settings, tasks=(TASK,))))
    answers = await asyncio.gather(*(family.generate_images(asked()) for _ in range(4)))
    problems = [each for each in answers if isinstance(each, Problem)]
    assert {each.kind for each in problems} == {"overloaded"}
    assert len(problems) < len(answers)
