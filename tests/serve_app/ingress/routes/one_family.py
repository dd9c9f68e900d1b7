"""The native routes of one router, over one family that needs no model."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI

from configs.profile import Profile
from configs.settings import Settings
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from tests.serve_app import house
from tests.serve_app.local_handle import Family, LocalHandle

MODEL = "house/model"


def application(family: Family, router: str, *tasks: str, **settings: Any) -> FastAPI:
    """An application whose only model does ``tasks``."""
    model = {"name": MODEL, "tasks": tasks, "pinned": True, "source": house.SOURCE}
    only = {
        "name": "only",
        "deployment": "deployments.only:Only",
        "routers": [f"serve_app.ingress.routes.{router}:router"],
        "models": [model],
    }
    profile = Profile.model_validate({"name": "house", "families": [only]})
    made = Settings(**settings)
    client = DeploymentClient({"only": LocalHandle(family)}, made.request_timeout_s)
    services = Services(Catalog(profile, made), client, made, house.Ready())
    return create_app(services, routers_of(profile))


async def posted(app: FastAPI, route: str, **body: Any) -> httpx.Response:
    return await house.post(app, f"{house.NATIVE}/{route}", body)


async def field_errors(app: FastAPI, route: str, **body: Any) -> dict[str, str]:
    """What is wrong with each field of a body that is refused."""
    response = await posted(app, route, **body)
    assert response.status_code == 400, response.text
    found: dict[str, str] = response.json()["details"]["field_errors"]
    return found
