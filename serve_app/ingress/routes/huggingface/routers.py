"""Every router below ``/models``, for an application that has certain tasks."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface import chat, openai_routes
from serve_app.ingress.routes.huggingface.inference import inference_router
from serve_app.ingress.routes.huggingface.model_info import model_info_router
from serve_app.ingress.routes.other_servers import ROUTERS as OF_OTHER_SERVERS


def hub_routers(tasks: HubTasks) -> tuple[APIRouter, ...]:
    """Other servers' routes are among them, since they exist below every model too."""
    return (
        chat.router,
        openai_routes.router,
        *OF_OTHER_SERVERS,
        model_info_router(tasks),
        inference_router(tasks),
    )
