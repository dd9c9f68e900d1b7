"""``GET /models``: every model that the graph may serve."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from serve_app.catalog import ModelCard
from serve_app.routes.services import NATIVE_PREFIX, Asking, Served

router = APIRouter(prefix=NATIVE_PREFIX, tags=["models"])


class Limits(BaseModel):
    window: int | None
    max_tokens: int | None


class ModelEntry(BaseModel):
    """``unsupported`` names request fields that the model's engine cannot honour."""

    name: str
    aliases: list[str]
    family: str
    tasks: list[str]
    revision: str | None
    engine: str
    unsupported: list[str]
    limits: Limits
    pinned: bool


class ModelsAnswer(BaseModel):
    models: list[ModelEntry]
    request_id: str
    execution_time: float


@router.get("/models", summary="Every model the graph may serve", response_model=ModelsAnswer)
async def list_models(served: Served, asking: Asking) -> Response:
    """Known from configuration: no replica is called or woken."""
    cards = [_shown(card) for card in served.catalog.cards]
    return asking.answer({"models": cards})


def _shown(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "aliases": card.aliases,
        "family": card.family,
        "tasks": card.tasks,
        "revision": card.revision,
        "engine": card.engine,
        "unsupported": sorted(card.unsupported),
        "limits": {"window": card.window, "max_tokens": card.max_tokens},
        "pinned": card.pinned,
    }
