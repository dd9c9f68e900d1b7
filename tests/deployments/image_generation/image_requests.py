"""Requests for images of a tiny pipeline, and the images or problems that come of them."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
from PIL import Image

from deployments.image_generation import ImageGeneration
from deployments.seam.image_generation import ImageGenerationRequest, ImageGenerationResult
from deployments.seam.problems import Problem
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.tiny_pipelines import (
    latent_consistency,
    stable_diffusion,
    stable_diffusion_xl,
)

TASK = "image_generate"
PROMPT = "a red circle"
PIPELINES = {
    "StableDiffusionPipeline": stable_diffusion,
    "StableDiffusionXLPipeline": stable_diffusion_xl,
    "LatentConsistencyModelPipeline": latent_consistency,
}
ROUNDING = 2
"""How far a colour may be apart, of 255: sums come in another order in batches of another size."""


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
