"""``GET /models/{model_id}/health`` and ``/info``: whether a model can answer, and what it is."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.cluster.readiness import READY_DEPLOYMENT
from serve_app.ingress.errors import Unavailable
from serve_app.ingress.routes.context import RequestServices, json_response
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.errors import HubError


class ModelReady(BaseModel):
    status: Literal["ready"]
    model: str


class ModelInfo(BaseModel):
    """Lengths are in tokens."""

    model_id: str
    model_sha: str | None
    model_pipeline_tag: str | None
    tasks: list[str]
    engine: str
    max_total_tokens: int | None
    max_input_length: int | None


def model_info_router(hub_tasks: HubTasks) -> APIRouter:
    """The routes about a model, for an application that has ``hub_tasks``."""
    router = APIRouter(
        prefix="/models", tags=["hugging face"], responses={"4XX": {"model": HubError}}
    )

    @router.get(
        "/{model_id:path}/health",
        summary="Hugging Face: whether a model can answer",
        response_model=ModelReady,
    )
    async def model_health(model_id: str, services: RequestServices) -> Response:
        """200 when its deployment can answer, by Serve's own status: nothing is called or woken."""
        card = await services.catalog.find(model_id)
        state = await services.readiness.state()
        if state.reason:
            raise Unavailable(f"{state.reason}.", 2)
        word = state.deployments.get(card.deployment, "HEALTHY" if state.ready else "not deployed")
        if word not in READY_DEPLOYMENT:
            raise Unavailable(f"The deployment of {card.name} is {word}.", 2)
        return json_response({"status": "ready", "model": card.name})

    @router.get(
        "/{model_id:path}/info", summary="Hugging Face: what a model is", response_model=ModelInfo
    )
    async def model_info(model_id: str, services: RequestServices) -> Response:
        """Under the names of TGI's and TEI's ``/info``; lengths are in tokens."""
        return json_response(_info(await services.catalog.find(model_id), hub_tasks))

    return router


def _info(card: ModelCard, hub_tasks: HubTasks) -> dict[str, Any]:
    tasks = hub_tasks.names(card)
    return {
        "model_id": card.name,
        "model_sha": card.revision,
        "model_pipeline_tag": tasks[0] if tasks else None,
        "tasks": tasks,
        "engine": card.engine,
        "max_total_tokens": card.window,
        "max_input_length": card.max_tokens or card.window,
    }
