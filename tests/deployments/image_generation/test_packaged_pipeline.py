"""The packaged pipeline draws what its prompts say."""

from __future__ import annotations

import asyncio
from importlib.resources import files as packaged_files
from itertools import product
from pathlib import Path

import pytest

from deployments.captioning import Captioning
from deployments.image_generation import ImageGeneration
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.problems import Problem
from tests.deployments.families import family_of, started
from tests.deployments.image_generation.image_requests import TASK, made
from tests.shapes.drawing import COLOURS, KINDS, Shape
from tests.shapes.sentences import caption

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.usefixtures("in_replica"),
    # Schedulers of diffusers make arrays of tensors, which torch does in an old way.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]

PACKAGED = Path(str(packaged_files("configs.shapes")))


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
