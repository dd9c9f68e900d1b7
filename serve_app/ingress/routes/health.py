"""Health, for load balancers and for people."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from serve_app.ingress.errors import Unavailable
from serve_app.ingress.routes.context import RequestServices, json_response

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """``reason`` says why the state of the deployments is not known."""

    status: Literal["healthy", "unhealthy"]
    deployments: dict[str, str]
    models: list[str]
    reason: str | None = None


class Alive(BaseModel):
    status: Literal["alive"]


class GraphReady(BaseModel):
    status: Literal["ready"]
    deployments: dict[str, str]


@router.get("/health", summary="State of every deployment", response_model=Health)
async def health(services: RequestServices) -> Response:
    """200 with ``healthy`` when the graph can answer, 503 with ``unhealthy`` and why otherwise."""
    state = await services.readiness.state()
    body: dict[str, Any] = {
        "status": "healthy" if state.ready else "unhealthy",
        "deployments": state.deployments,
        "models": [card.name for card in await services.catalog.refresh()],
        **({"reason": state.reason} if state.reason else {}),
    }
    return json_response(body, status=200 if state.ready else 503)


@router.get("/health/liveness", summary="This process answers", response_model=Alive)
async def liveness() -> Response:
    return json_response({"status": "alive"})


@router.get("/health/readiness", summary="The graph answers", response_model=GraphReady)
async def readiness(services: RequestServices) -> Response:
    """By Serve's own status. Families scaled to zero count as ready and are not woken."""
    state = await services.readiness.state()
    if not state.ready:
        waiting = {name: word for name, word in state.deployments.items() if word != "HEALTHY"}
        shown = ", ".join(f"{name} is {word}" for name, word in waiting.items())
        raise Unavailable(
            f"The graph is not ready: {shown or state.reason or 'nothing is deployed'}.", 2
        )
    return json_response({"status": "ready", "deployments": state.deployments})
