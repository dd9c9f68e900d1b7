"""Text to image: the answer is the file of the image itself."""

from __future__ import annotations

from starlette.responses import Response

from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.generated_images import (
    IMAGE_GENERATE,
    PNG,
    GuidanceScale,
    ImageOptions,
    Side,
    Steps,
    complete_files,
    generate_images,
)
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import NoOptions, Unserved
from serve_app.ingress.validation.fields import Body, Readable, Seed

hub_tasks = HubTasks()

FIELDS = {
    "prompt": "inputs",
    **{
        name: f"parameters.{name}"
        for name in ("negative_prompt", "width", "height", "guidance_scale")
    },
    "steps": "parameters.num_inference_steps",
}


class TextToImageParameters(Body):
    negative_prompt: str | None = None
    height: Side | None = None
    width: Side | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: GuidanceScale | None = None
    seed: Seed | None = None
    scheduler: Unserved = None


class TextToImageBody(Body):
    """A prompt. Another scheduler than the model's own is refused."""

    inputs: Readable
    parameters: TextToImageParameters = TextToImageParameters()
    options: NoOptions = None


@hub_tasks.task("text-to-image", IMAGE_GENERATE)
async def text_to_image(
    body: TextToImageBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """A PNG file."""
    given = body.parameters
    options = ImageOptions(
        seed=given.seed,
        width=given.width,
        height=given.height,
        steps=given.num_inference_steps,
        guidance_scale=given.guidance_scale,
        negative_prompt=given.negative_prompt,
    )
    made = await generate_images(body.inputs, options, card, services, FIELDS)
    (file,) = complete_files(made, FIELDS)
    return Response(file, media_type=PNG, headers={"X-Model": card.name})
