"""``POST /models/{model_id}``: every task of every model, as Hugging Face's clients ask for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.errors import ModelNotFound, NotFound
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services
from serve_app.ingress.routes.huggingface.errors import HubError
from serve_app.ingress.routes.huggingface.hub_tasks import meant
from serve_app.ingress.routes.huggingface.payload import parsed, payload_of
from serve_app.ingress.routes.huggingface.task_table import KINDS
from serve_app.ingress.routes.huggingface.tgi_shapes import StreamResponse
from serve_app.ingress.validation.json_body import JsonRoute, no_query

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


def _any_of(bodies: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """A schema that each of ``bodies`` matches; definitions have names that no others have."""
    inputs: list[Any] = [(body, "validation") for body in dict.fromkeys(bodies)]
    found, definitions = models_json_schema(inputs, ref_template="#/$defs/Hub{model}")
    named = {f"Hub{name}": schema for name, schema in definitions["$defs"].items()}
    return {"anyOf": [found[each] for each in inputs], "$defs": named}


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _any_of(kind.body for kind in KINDS),
                "example": {"inputs": "The capital of France is", "parameters": {}},
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

router = APIRouter(
    prefix="/models",
    tags=["hugging face"],
    route_class=JsonRoute,
    dependencies=[Depends(no_query)],
    responses=ANSWERS,
)


@router.post(
    "/{model_id:path}/pipeline/{task}",
    summary="Hugging Face: one task of a model of several",
    openapi_extra=BODY,
)
async def pipeline(
    model_id: str, task: str, request: Request, served: Served, context: Context
) -> Response:
    """As ``/models/{model_id}``, for the task that the path names (``summarization``, ...)."""
    return await _answer(model_id, request, served, context, task)


@router.post(
    "/{model_id:path}", summary="Hugging Face: what a model is there for", openapi_extra=BODY
)
async def infer(model_id: str, request: Request, served: Served, context: Context) -> Response:
    """``{inputs, parameters, options}``, or the bytes of an image; the model says which task."""
    return await _answer(model_id, request, served, context)


def _card(model_id: str, served: Services) -> ModelCard:
    """The card of the model that a path names, unless it is a path of OpenAI's below a model."""
    try:
        return served.catalog.find(model_id)
    except ModelNotFound:
        if "/v1/" in model_id:
            raise NotFound("There is no such route.") from None
        raise


async def _answer(
    model_id: str,
    request: Request,
    served: Services,
    context: RequestContext,
    task: str | None = None,
) -> Response:
    card = _card(model_id, served)
    payload = await payload_of(request)
    kind = meant(KINDS, card, payload, task)
    card = served.catalog.resolve(kind.task, model_id, "model")
    if isinstance(payload, bytes):
        assert kind.from_file is not None
        return await kind.answer(kind.from_file(payload), card, served, context)
    return await kind.answer(parsed(kind.body, payload), card, served, context)
