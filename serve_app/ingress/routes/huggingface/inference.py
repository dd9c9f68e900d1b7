"""``POST /models/{model_id}``: every task of every model, as Hugging Face's clients call it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.errors import ModelNotFound, NotFound
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Context, RequestContext, RequestServices, Services
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.errors import HubError
from serve_app.ingress.routes.huggingface.request_body import parsed, payload_of
from serve_app.ingress.routes.huggingface.tgi import StreamResponse
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.validation.json_body import no_query

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": HubError, "description": "The request is at fault."},
    "5XX": {"model": HubError, "description": "The service is at fault."},
}
ANSWER: dict[str, Any] = {
    "description": "what the task's own client reads; with `stream` of a text, TGI's events",
    "content": {
        "application/json": {"schema": {"type": ["array", "object"]}},
        **event_stream(unnamed=(StreamResponse, HubError))[200]["content"],
    },
}
ANSWERS: dict[int | str, dict[str, Any]] = {200: ANSWER, **ERRORS}


def inference_router(hub_tasks: HubTasks) -> APIRouter:
    """The routes that do ``hub_tasks``."""
    router = InferenceRouter(prefix="/models", tags=["hugging face"], responses=ANSWERS)
    body = _documented(hub_tasks)

    @router.inference(
        "/{model_id:path}/pipeline/{task}",
        summary="Hugging Face: one task of a model of several",
        dependencies=[Depends(no_query)],
        openapi_extra=body,
    )
    async def pipeline(
        model_id: str, task: str, request: Request, services: RequestServices, context: Context
    ) -> Response:
        """As ``/models/{model_id}``, for the task that the path names (``summarization``, ...)."""
        return await _answer(hub_tasks, model_id, request, services, context, task)

    @router.inference(
        "/{model_id:path}",
        dependencies=[Depends(no_query)],
        summary="Hugging Face: what a model is there for",
        description="``{inputs, parameters, options}``, or the bytes of a file; "
        "the model says which task.",
        openapi_extra=body,
    )
    async def infer(
        model_id: str, request: Request, services: RequestServices, context: Context
    ) -> Response:
        return await _answer(hub_tasks, model_id, request, services, context)

    return router


async def _answer(
    hub_tasks: HubTasks,
    model_id: str,
    request: Request,
    services: Services,
    context: RequestContext,
    name: str | None = None,
) -> Response:
    card = await _card(model_id, services)
    payload = await payload_of(request)
    task = hub_tasks.task_for(card, payload, name)
    card = await services.catalog.resolve(task.model_task, model_id, "model")
    if isinstance(payload, bytes):
        assert task.from_file is not None
        return await task.answer(task.from_file(payload), card, services, context)
    return await task.answer(parsed(task.body, payload), card, services, context)


async def _card(model_id: str, services: Services) -> ModelCard:
    """The card of the model that a path names, unless it is a path of OpenAI's below a model."""
    try:
        return await services.catalog.find(model_id)
    except ModelNotFound:
        if "/v1/" in model_id:
            raise NotFound("There is no such route.") from None
        raise


def _documented(hub_tasks: HubTasks) -> dict[str, Any]:
    """OpenAPI's description of a request: the body of any task, or a file."""
    schema = _any_of(task.body for task in hub_tasks)
    example = {"inputs": "The capital of France is", "parameters": {}}
    content = {
        "application/json": {"schema": schema, "example": example},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "audio/*": {"schema": {"type": "string", "format": "binary"}},
    }
    return {"requestBody": {"required": True, "content": content}}


def _any_of(bodies: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """A schema that each of ``bodies`` matches; definitions have names that no others have."""
    inputs: list[Any] = [(body, "validation") for body in dict.fromkeys(bodies)]
    if not inputs:
        return {"type": "object"}
    found, definitions = models_json_schema(inputs, ref_template="#/$defs/Hub{model}")
    named = {f"Hub{name}": schema for name, schema in definitions["$defs"].items()}
    return {"anyOf": [found[each] for each in inputs], "$defs": named}
