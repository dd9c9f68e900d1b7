"""``GET /models``: every model that the graph may serve."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from serve_app.catalog import ModelCard
from serve_app.routes.services import NATIVE_PREFIX, Asking, Served

router = APIRouter(prefix=NATIVE_PREFIX, tags=["models"])


@router.get("/models", summary="Every model the graph may serve")
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
