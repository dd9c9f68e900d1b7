"""``POST /images/generate``: images of a prompt."""

from __future__ import annotations

from typing import Any

from deployments.seam.problems import Problem
from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.context import (
    NATIVE_FIELDS,
    Context,
    RequestServices,
    TaskResult,
)
from serve_app.ingress.routes.errors import item_error
from serve_app.ingress.routes.generated_images import (
    IMAGE_GENERATE,
    GuidanceScale,
    ImageOptions,
    ImageSize,
    Steps,
    as_base64,
    generate_images,
    sides_of,
)
from serve_app.ingress.routes.huggingface.image_generation import hub_tasks
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.text_items import ItemError
from serve_app.ingress.validation.fields import (
    Answer,
    Body,
    Choices,
    ModelName,
    Readable,
    Seed,
    example,
)

router = NativeRouter("images")
router.hub_tasks.add(hub_tasks)

FIELDS = {**NATIVE_FIELDS, "width": "size", "height": "size"}


class GenerateImagesBody(Body):
    """Images of one prompt. The second of ``n`` images has the next ``seed``, and so on."""

    model_config = example(prompt="a red circle", seed=7)

    prompt: Readable
    negative_prompt: str | None = None
    n: Choices = 1
    seed: Seed | None = None
    steps: Steps | None = None
    size: ImageSize | None = None
    guidance_scale: GuidanceScale | None = None
    model_name: ModelName | None = None


class GenerateImagesAnswer(Answer):
    """``images`` are PNG files in base64, each with its seed in ``seeds``."""

    images: list[str | ItemError]
    seeds: list[int]
    size: str


@router.task(
    "/images/generate",
    IMAGE_GENERATE,
    step="generate_image",
    answer=GenerateImagesAnswer,
    summary="Images of a prompt",
    images="images",
)
async def create_images(
    body: GenerateImagesBody, services: RequestServices, context: Context
) -> TaskResult:
    """``{images, seeds, size}``: PNG files in base64. The same seed makes the same image.

    A prompt that is longer than the text encoder reads is a 400. Of several images one may fail
    alone: its place has an ``error``.
    """
    card = await services.catalog.resolve(IMAGE_GENERATE, body.model_name)
    width, height = sides_of(body.size)
    options = ImageOptions(
        body.n, body.seed, width, height, body.steps, body.guidance_scale, body.negative_prompt
    )
    made = await generate_images(body.prompt, options, card, services, FIELDS)
    items = made.result.items
    encoded = iter(await as_base64([each for each in items if not isinstance(each, Problem)]))
    images: list[Any] = [
        item_error(from_problem(each, FIELDS)) if isinstance(each, Problem) else next(encoded)
        for each in items
    ]
    answer = {"images": images, "seeds": list(made.seeds), "size": made.size}
    return TaskResult(answer, card.name)
