"""``POST /generate`` and ``/generate_stream``: text generation under TGI's own paths."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.routes.context import Context, RequestServices, json_response
from serve_app.ingress.routes.generation_fields import GENERATE
from serve_app.ingress.routes.huggingface.errors import HubError
from serve_app.ingress.routes.huggingface.generation import (
    GenerateParameters,
    HubGenerateBody,
    streamed_text,
    whole_text,
)
from serve_app.ingress.routes.huggingface.inference import ERRORS
from serve_app.ingress.routes.huggingface.tgi import StreamResponse
from serve_app.ingress.routes.model_path_router import ModelPathRouter, PathModel
from serve_app.ingress.validation.fields import Body, Text, example

router = ModelPathRouter(prefix="", tags=["text-generation-inference"], responses=ERRORS)


class TgiBody(Body):
    """One prompt and how to continue it; the path says whether the text is streamed."""

    model_config = example(inputs="The capital of France is", parameters={"max_new_tokens": 16})

    inputs: Text
    parameters: GenerateParameters = GenerateParameters()


class TgiText(BaseModel):
    generated_text: str
    details: dict[str, Any] | None = None


@router.inference_twice(
    "/generate",
    GENERATE,
    name="tgi_generate",
    summary="TGI: continue a prompt",
    response_model=TgiText,
)
async def tgi_generate(
    body: TgiBody, model: PathModel, services: RequestServices, context: Context
) -> Response:
    """``{generated_text, details?}``: an object, where ``/models/{model_id}`` answers a list."""
    card = await services.catalog.resolve(GENERATE, model, "model")
    whole = HubGenerateBody(inputs=body.inputs, parameters=body.parameters)
    return json_response(await whole_text(whole, card, services, context))


@router.inference_twice(
    "/generate_stream",
    GENERATE,
    name="tgi_generate_stream",
    summary="TGI: continue a prompt by tokens",
    responses=event_stream(unnamed=(StreamResponse, HubError)),
)
async def tgi_generate_stream(
    body: TgiBody, model: PathModel, services: RequestServices, context: Context
) -> Response:
    """Server-sent events, one a token; the last one carries the whole text."""
    card = await services.catalog.resolve(GENERATE, model, "model")
    streamed = HubGenerateBody(inputs=body.inputs, parameters=body.parameters, stream=True)
    return await streamed_text(streamed, card, services, context)
