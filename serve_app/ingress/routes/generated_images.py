"""Calls a model that makes images of a prompt."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints

from configs.settings import Settings
from deployments.seam.image_generation import ImageGenerationRequest, ImageGenerationResult
from deployments.seam.problems import Problem
from serve_app.ingress.errors import ValidationFailed, from_problem
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services
from serve_app.ingress.validation.fields import Count
from serve_app.ingress.validation.limits import check_prompt, check_readable

IMAGE_GENERATE = "image_generate"
PNG = "image/png"

RANDOM_SEEDS = 2**32
"""Seeds of requests without one: every client's numbers hold them."""

SEEDS = 2**63
"""Seeds are integers of 64 bits with a sign, from minus this on; the first follows the last."""

ImageSize: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$"),
    Field(description="width x height in pixels"),
]
GuidanceScale: TypeAlias = Annotated[
    float, Field(ge=0, le=100, description="how closely to follow the prompt; up to 1: no guidance")
]
Side: TypeAlias = Annotated[int, Field(ge=1, le=99_999, description="in pixels")]
Steps: TypeAlias = Annotated[Count, Field(description="of denoising")]


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What a request says beside its prompt; ``None`` is what is usual for the model."""

    count: int = 1
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    negative_prompt: str | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """One for each image, counted up from the request's."""
        first = secrets.randbelow(RANDOM_SEEDS) if self.seed is None else self.seed
        return tuple((first + index + SEEDS) % (2 * SEEDS) - SEEDS for index in range(self.count))


@dataclass(frozen=True, slots=True)
class GeneratedImages:
    """The result, and the seed of each image."""

    result: ImageGenerationResult
    seeds: tuple[int, ...]

    @property
    def size(self) -> str:
        return f"{self.result.width}x{self.result.height}"


def sides_of(size: str | None) -> tuple[int | None, int | None]:
    """Width and height of an :data:`ImageSize`."""
    if size is None:
        return None, None
    width, _, height = size.partition("x")
    return int(width), int(height)


async def generate_images(
    prompt: str,
    options: ImageOptions,
    card: ModelCard,
    services: Services,
    fields: Mapping[str, str],
) -> GeneratedImages:
    """The images. ``fields`` are the route's names for the fields of the model side, for errors.

    Raises the problem of the first image if all of them failed.
    """
    _check_texts(prompt, options, services.settings, fields)
    _check_bounds(options, services.settings, fields)
    request = ImageGenerationRequest(
        card.name,
        prompt,
        options.seeds,
        options.negative_prompt,
        options.width,
        options.height,
        options.steps,
        options.guidance_scale,
    )
    result: ImageGenerationResult = await services.client.call(
        card.family, "generate_images", request, fields
    )
    problems = [each for each in result.items if isinstance(each, Problem)]
    if len(problems) == len(result.items):
        raise from_problem(problems[0], fields)
    return GeneratedImages(result, request.seeds)


def _check_texts(
    prompt: str, options: ImageOptions, settings: Settings, fields: Mapping[str, str]
) -> None:
    field = fields.get("prompt", "prompt")
    check_prompt(prompt, settings, field)
    check_readable(prompt, field)
    if options.negative_prompt is not None:
        check_prompt(
            options.negative_prompt, settings, fields.get("negative_prompt", "negative_prompt")
        )


def _check_bounds(options: ImageOptions, settings: Settings, fields: Mapping[str, str]) -> None:
    """The bounds of every model; a model may have narrower ones."""
    bounds = (
        ("n", options.count, settings.max_generated_images),
        ("steps", options.steps or 0, settings.max_denoising_steps),
    )
    for name, given, limit in bounds:
        if given > limit:
            field = fields.get(name, name)
            raise ValidationFailed(f"{field} is {given}; the limit is {limit}.", field=field)
    pixels, limit = (options.width or 1) * (options.height or 1), settings.max_generated_pixels
    if pixels > limit:
        field = fields.get("width" if options.width else "height", "width")
        raise ValidationFailed(
            f"{field}: the image would have {pixels} pixels or more; the limit is {limit}.",
            field=field,
        )


def complete_files(made: GeneratedImages, fields: Mapping[str, str]) -> list[bytes]:
    """The files of all images, for answers without a place for the error of one.

    Raises the problem of the first image that failed.
    """
    files = list[bytes]()
    for each in made.result.items:
        if isinstance(each, Problem):
            raise from_problem(each, fields)
        files.append(each)
    return files


async def as_base64(files: Sequence[bytes]) -> list[str]:
    """Each file in base64, made off the event loop: files of several images have megabytes."""
    return await asyncio.to_thread(lambda: [base64.b64encode(each).decode() for each in files])
