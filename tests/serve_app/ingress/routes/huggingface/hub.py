"""A graph of one fake family that does whatever a test says, behind ``/models``."""

from __future__ import annotations

from typing import Any

import httpx

from configs.profile import Profile
from configs.settings import Settings
from serve_app.ingress.app import create_app
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from serve_app.registry.task_names import shipped_routers
from tests.serve_app.house import Ready
from tests.serve_app.local_handle import Family, LocalHandle

MODEL, ALIAS = "house/model", "model"
WINDOW = 1000


def profile(*tasks: str, engine: str = "torch") -> Profile:
    model: dict[str, Any] = {
        "name": MODEL,
        "aliases": [ALIAS],
        "tasks": list(tasks),
        "engine": engine,
    }
    model |= {"window": WINDOW, "pinned": True, "source": {"folder": "/models"}}
    family = {"name": "only", "deployment": "deployments.only:Only", "models": [model]}
    return Profile.model_validate({"name": "hub", "families": [family]})


def client(
    family: Family,
    *tasks: str,
    engine: str = "torch",
    readiness: Ready | None = None,
    **settings: Any,
) -> httpx.AsyncClient:
    made = Settings(**settings)
    calls = DeploymentClient({"only": LocalHandle(family)}, made.request_timeout_s)
    catalog = Catalog(profile(*tasks, engine=engine), made)
    app = create_app(Services(catalog, calls, made, readiness or Ready()), shipped_routers())
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://house/models/")


async def post(family: Family, tasks: str, body: Any, path: str = MODEL, **more: Any) -> Any:
    """What a model of ``tasks`` answers; a refusal is an error of the test."""
    response = await refused(family, tasks, body, path, **more)
    assert response.status_code == 200, response.text
    return response.json()


async def refused(
    family: Family, tasks: str, body: Any, path: str = MODEL, **more: Any
) -> httpx.Response:
    async with client(family, *tasks.split(), **more) as opened:
        return await opened.post(path, json=body)
