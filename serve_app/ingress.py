"""The ingress: one FastAPI application over the families, and its Ray Serve deployment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from configs.profile import Profile
from configs.settings import Settings
from serve_app import errors
from serve_app.calls import Calls
from serve_app.catalog import Catalog
from serve_app.edge import Edge
from serve_app.readiness import ServeReadiness
from serve_app.request_id import HEADER, RequestIds
from serve_app.routes import health, huggingface, models
from serve_app.routes.openai import models as openai_models
from serve_app.routes.services import Services
from serve_app.security import BodyLimit

ALWAYS = (health.router, models.router, openai_models.router, *huggingface.ROUTERS)


def create_app(
    services: Services, routers: Iterable[APIRouter], *, under_serve: bool = False
) -> FastAPI:
    """The application: routers, middleware and handlers. Needs no Ray by itself."""
    settings = services.settings
    app = FastAPI(
        title="prsm-serve",
        version=version("prsm-serve"),
        summary="Every Hugging Face model family behind one API.",
        responses=errors.DOCUMENTED,
    )
    app.state.services = services
    for router in (*ALWAYS, *routers):
        app.include_router(router)
    errors.install(app)
    # Added last runs first: ids, then CORS, then the edge, then limits.
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(Edge)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[HEADER],
        )
    app.add_middleware(RequestIds, echo=not under_serve)
    return app


class Ingress:
    """The ingress deployment. Holds a handle to every family and state of its own to none."""

    def __init__(self, profile: Profile, settings: Settings, handles: Mapping[str, Any]) -> None:
        catalog = Catalog(profile, settings)
        calls = Calls(handles, settings.request_timeout_s)
        self._services = Services(catalog, calls, settings, ServeReadiness())
        self._profile = profile

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve in the replica, after the constructor."""
        return create_app(self._services, routers_of(self._profile), under_serve=True)


def routers_of(profile: Profile) -> list[APIRouter]:
    """The routers that the profile's families name, each once."""
    paths = dict.fromkeys(path for family in profile.families for path in family.routers)
    return [imported(path) for path in paths]


def imported(path: str) -> Any:
    """The object at ``package.module:name``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
