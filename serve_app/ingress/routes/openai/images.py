"""``POST /v1/images/generations``."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response

from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.routes.context import RequestServices, json_response
from serve_app.ingress.routes.generated_images import (
    IMAGE_GENERATE,
    GuidanceScale,
    ImageOptions,
    ImageSize,
    Steps,
    as_base64,
    complete_files,
    generate_images,
    sides_of,
)
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.shapes import ERRORS
from serve_app.ingress.validation.effects import NoEffect, Off
from serve_app.ingress.validation.fields import Body, Choices, ModelName, Readable, Seed, example

router = InferenceRouter(prefix="/v1", tags=["openai"], responses=ERRORS)

FIELDS = {"width": "size", "height": "size", "steps": "num_inference_steps"}


class OpenAIImagesBody(Body):
    """Images of one prompt, as PNG files in base64.

    ``seed``, ``negative_prompt``, ``num_inference_steps`` and ``guidance_scale`` are those of
    diffusers, which other servers of this API take as well.
    """

    model_config = example(all_readable("prompt"), prompt="a red circle")

    prompt: Readable
    model: ModelName | None = None
    n: Choices = 1
    size: Literal["auto"] | ImageSize | None = None
    seed: Seed | None = None
    negative_prompt: str | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: GuidanceScale | None = None
    response_format: NoEffect[Literal["b64_json"] | None] = None
    quality: NoEffect[Literal["auto", "standard"] | None] = None
    style: NoEffect[Literal["vivid"] | None] = None
    background: NoEffect[Literal["auto", "opaque"] | None] = None
    moderation: NoEffect[Literal["auto"] | None] = None
    output_format: NoEffect[Literal["png"] | None] = None
    output_compression: NoEffect[Annotated[int, Field(ge=100, le=100)] | None] = None
    partial_images: NoEffect[Annotated[int, Field(ge=0, le=0)] | None] = None
    stream: Off = None
    user: NoEffect[str | None] = None
    safety_identifier: NoEffect[str | None] = None


class OpenAIImage(BaseModel):
    b64_json: str


class OpenAIImages(BaseModel):
    """``size`` is the one that the images have."""

    created: int
    data: list[OpenAIImage]
    size: str
    output_format: Literal["png"]


@router.inference(
    "/images/generations",
    IMAGE_GENERATE,
    summary="Images of a prompt",
    response_model=OpenAIImages,
)
async def image_generations(body: OpenAIImagesBody, services: RequestServices) -> Response:
    """``data: [{b64_json}]``: PNG files. There are no URLs: nothing is kept on the server."""
    card = await services.catalog.resolve(IMAGE_GENERATE, body.model, "model")
    width, height = sides_of(None if body.size == "auto" else body.size)
    options = ImageOptions(
        body.n,
        body.seed,
        width,
        height,
        body.num_inference_steps,
        body.guidance_scale,
        body.negative_prompt,
    )
    made = await generate_images(body.prompt, options, card, services, FIELDS)
    images = await as_base64(complete_files(made, FIELDS))
    answer: dict[str, Any] = {
        "created": int(time.time()),
        "data": [{"b64_json": each} for each in images],
        "size": made.size,
        "output_format": "png",
    }
    return json_response(answer, {"X-Model": card.name})
