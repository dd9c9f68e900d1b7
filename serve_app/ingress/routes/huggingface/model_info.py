"""``/health`` and ``/info`` of a model: whether it can answer, and what it is."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from serve_app.ingress.errors import NotFound, Unavailable
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestServices, Services, json_response
from serve_app.ingress.routes.generation_fields import GENERATE
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.errors import HubError
from serve_app.ingress.routes.label_scores import SENTIMENT, TOPIC
from serve_app.ingress.routes.ranked_documents import RERANK
from serve_app.ingress.routes.vectors import EMBED
from serve_app.ingress.validation.fields import MAX_CHOICES, MAX_STOPS

ROUTER_NAME = "prsm-serve"
MODEL_TYPES = {EMBED: "embedding", SENTIMENT: "classifier", TOPIC: "classifier", RERANK: "reranker"}
"""TEI's words for kinds of models, by task."""


class ModelReady(BaseModel):
    status: Literal["ready"]
    model: str


class ModelInfo(BaseModel):
    """What TEI's and TGI's ``/info`` tell, as far as it is known without asking a replica.

    Lengths are in tokens. ``model_type`` has TEI's word for the kind of model as its only key.
    """

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: dict[str, dict[str, Any]] | None
    model_pipeline_tag: str | None
    tasks: list[str]
    engine: str
    max_total_tokens: int | None
    max_input_length: int | None
    max_input_tokens: int | None
    max_client_batch_size: int
    max_best_of: int
    max_stop_sequences: int
    auto_truncate: Literal[False]
    router: str
    version: str
    sha: None
    docker_label: None


def model_info_router(hub_tasks: HubTasks) -> APIRouter:
    """The routes about a model, for an application that has ``hub_tasks``."""
    router = APIRouter(tags=["hugging face"], responses={"4XX": {"model": HubError}})

    @router.get(
        "/models/{model_id:path}/health",
        summary="Hugging Face: whether a model can answer",
        response_model=ModelReady,
    )
    async def model_health(model_id: str, services: RequestServices) -> Response:
        """200 when its deployment can answer, by Serve's own status: nothing is called or woken."""
        card = await services.catalog.find(model_id)
        state = await services.readiness.state()
        if state.reason:
            raise Unavailable(f"{state.reason}.", 2)
        known = card.deployment in state.deployments
        if not (state.answers(card.deployment) if known else state.ready):
            word = state.deployments.get(card.deployment, "not deployed")
            why = state.failures.get(card.deployment, "")
            raise Unavailable(f"The deployment of {card.name} is {word}. {why}".strip(), 2)
        return json_response({"status": "ready", "model": card.name})

    @router.get(
        "/models/{model_id:path}/info",
        summary="Hugging Face: what a model is",
        response_model=ModelInfo,
    )
    async def model_info(model_id: str, services: RequestServices) -> Response:
        """Under the names of TGI's and TEI's ``/info``; lengths are in tokens."""
        return json_response(_info(await services.catalog.find(model_id), hub_tasks, services))

    @router.get("/info", summary="TGI and TEI: what the model is", response_model=ModelInfo)
    async def default_model_info(services: RequestServices) -> Response:
        """As ``/models/{model_id}/info``, for the model that answers at ``/generate``.

        Where no model generates text, it is the first one of the profile.
        """
        cards = services.catalog.cards
        if not cards:
            raise NotFound("No model is configured.")
        generates = any(GENERATE in card.tasks for card in cards)
        card = await services.catalog.resolve(GENERATE, None) if generates else cards[0]
        return json_response(_info(card, hub_tasks, services))

    return router


def _info(card: ModelCard, hub_tasks: HubTasks, services: Services) -> dict[str, Any]:
    tasks = hub_tasks.names(card)
    kinds = [MODEL_TYPES[task] for task in card.tasks if task in MODEL_TYPES]
    max_tokens = card.max_tokens or card.window
    return {
        "model_id": card.name,
        "model_sha": card.revision,
        "model_dtype": card.dtype,
        "model_type": {kinds[0]: {}} if kinds else None,
        "model_pipeline_tag": tasks[0] if tasks else None,
        "tasks": tasks,
        "engine": card.engine,
        "max_total_tokens": card.window,
        "max_input_length": max_tokens,
        "max_input_tokens": max_tokens,
        "max_client_batch_size": services.settings.max_texts,
        "max_best_of": MAX_CHOICES,
        "max_stop_sequences": MAX_STOPS,
        "auto_truncate": False,
        "router": ROUTER_NAME,
        "version": version("prsm-serve"),
        "sha": None,
        "docker_label": None,
    }
