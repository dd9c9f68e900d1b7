"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestServices, json_response
from serve_app.ingress.routes.openai.shapes import ERRORS, Model, ModelList
from serve_app.ingress.validation.json_body import JsonRoute

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JsonRoute, responses=ERRORS)


@router.get("/models", summary="List models", response_model=ModelList)
async def list_models(services: RequestServices) -> Response:
    """Every model that is configured or was loaded by name; the question wakes none of them."""
    cards = [shown(card, services.started) for card in await services.catalog.refresh()]
    return json_response({"object": "list", "data": cards})


@router.get("/models/{model_id:path}", summary="One model", response_model=Model)
async def get_model(model_id: str, services: RequestServices) -> Response:
    return json_response(shown(await services.catalog.find(model_id), services.started))


def shown(card: ModelCard, created: int) -> dict[str, Any]:
    owner, _, _ = card.name.rpartition("/")
    return {"id": card.name, "object": "model", "created": created, "owned_by": owner or "local"}
