"""The FastAPI application in front of all families, and its Ray Serve deployment."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from configs.exposure import is_loopback
from configs.import_paths import imported
from configs.profile import Profile, parallel_calls
from configs.serve_schema import LEDGER
from configs.settings import Settings
from deployments.metrics.ray_metrics import RayMetrics
from deployments.metrics.reporter import Reporter
from deployments.seam.image_files.encoded import ignore_pillow_warnings
from deployments.seam.live_models import live_models_here
from deployments.seam.orders import orders_here
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.readiness import ServeReadiness
from serve_app.ingress.cluster.served_host import checked_host
from serve_app.ingress.conversations import Conversations
from serve_app.ingress.deadline import Deadlines
from serve_app.ingress.documentation import openapi, pages
from serve_app.ingress.documentation.security import with_security
from serve_app.ingress.early_refusals import EarlyRefusals
from serve_app.ingress.error_handlers import add_error_handlers
from serve_app.ingress.file_intake import FileIntake
from serve_app.ingress.front.front import Front, policy_for
from serve_app.ingress.head_requests import HeadRequests
from serve_app.ingress.image_urls.downloads import image_downloads
from serve_app.ingress.live_models import LiveModels
from serve_app.ingress.metering.metering import Metering, RemoteLedger, local_metering
from serve_app.ingress.metering.middleware import MeteringMiddleware
from serve_app.ingress.metering.refusals import Refusals
from serve_app.ingress.metering.request_log import RequestLog
from serve_app.ingress.metering.responses import Responses
from serve_app.ingress.playground import files as playground
from serve_app.ingress.route_table import RouteTable
from serve_app.ingress.routes import graph, health, home, loading, metrics, models
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.dialects import error_answers
from serve_app.ingress.routes.errors import RESPONSES
from serve_app.ingress.routes.huggingface.routers import hub_routers
from serve_app.ingress.routes.inference_router import hub_tasks_of, purposes_of
from serve_app.ingress.routes.mcp import route as mcp
from serve_app.ingress.routes.mcp.server import McpServer
from serve_app.ingress.routes.native_router import native_tasks
from serve_app.ingress.routes.openai import model_cards as openai_models
from serve_app.ingress.unhandled_errors import UnhandledErrors


def create_app(
    services: Services,
    routers: Iterable[APIRouter],
    *,
    under_serve: bool = False,
    metering: Metering | None = None,
    host: str | None = None,
) -> FastAPI:
    """The application with its routers, middleware and error handlers. It needs no Ray.

    ``routers`` are those of the families. Without ``metering`` a local one is made. ``host`` is the
    address at which Serve listens, if known. ``under_serve``: Serve's own entry is outside.
    """
    ignore_pillow_warnings()
    settings = services.settings
    routers = all_routers(routers)
    app, routes = _with_flat_routes(routers)
    purposes = purposes_of(routers)
    app.state.services = services
    app.state.tasks = native_tasks(routers)
    app.state.mcp = McpServer(app.state.tasks, image_urls=settings.image_urls)
    app.state.purposes = purposes
    app.state.metering = metering or local_metering(services.catalog, purposes.tasks, settings)
    app.state.conversations = Conversations(settings)
    app.state.for_everybody = not (settings.needs_keys or host is None or is_loopback(host))
    answers = error_answers()
    log = RequestLog(routes, enabled=settings.log_requests)
    add_error_handlers(app, answers)
    openapi.complete(app, settings)
    app.state.policy = policy_for(
        settings,
        host,
        Refusals(routes, app.state.metering, purposes, log).note,
        answers,
        Responses(routes, app.state.metering).note,
        EarlyRefusals(
            purposes, services.catalog, services.client.admission, settings.request_timeout_s
        ).check,
        services.turns,
    )
    # The last one added runs first: front, metering, deadlines, unhandled errors, HEAD.
    app.add_middleware(HeadRequests)
    app.add_middleware(UnhandledErrors, answers=answers)
    app.add_middleware(Deadlines, answers=answers)
    app.add_middleware(
        MeteringMiddleware,
        metering=app.state.metering,
        purposes=purposes,
        log=log,
        keys=app.state.policy.keys,
    )
    app.add_middleware(Front, policy=app.state.policy, echo=not under_serve)
    with_security(app, needs_key=settings.needs_keys)
    return app


def _with_flat_routes(routers: Iterable[APIRouter]) -> tuple[FastAPI, RouteTable]:
    """An application with the routes of ``routers``, without their routers; and the routes.

    FastAPI matches a path twice where a router is included, but only then does it complete the
    OpenAPI document with the options of the application: so another application documents them.
    """
    documented, app = _fastapi(), _fastapi(lifespan=_lifespan)
    for router in routers:
        documented.include_router(router)
    app.openapi = documented.openapi  # type: ignore[method-assign]
    routes = (route for router in routers for route in router.routes)
    table = RouteTable([*app.router.routes, *routes])
    app.router.routes = table
    return app, table


def _fastapi(**options: Any) -> FastAPI:
    return FastAPI(
        title="prsm-serve",
        version=version("prsm-serve"),
        summary="Every Hugging Face model family behind one API.",
        responses=RESPONSES,
        docs_url=None,  # FastAPI's pages load scripts from a CDN
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        redirect_slashes=False,  # a redirect would repeat the client's Host header
        **options,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # The objects that exist now live as long as the process. Unless they are frozen, the garbage
    # collector scans them, 0.2 s on the event loop, whenever a body of many lists is parsed.
    gc.collect()
    gc.freeze()
    yield
    await app.state.conversations.close()
    if app.state.policy.keys is not None:
        await app.state.policy.keys.close()


class Ingress:
    """The ingress deployment: the application, with a handle to every family and to the ledger."""

    def __init__(
        self, profile: Profile, settings: Settings, handles: Mapping[str, Any], ledger: Any
    ) -> None:
        readiness = ServeReadiness()
        deployments = {family.name: family.deployment_name for family in profile.families}

        async def why_not(family: str) -> str | None:
            return (await readiness.state()).failures.get(deployments.get(family, family))

        client = DeploymentClient(
            {**handles, LEDGER: ledger},
            settings.request_timeout_s,
            settings.stall_timeout_s,
            joined=handles,
            parallel={family.name: parallel_calls(family, settings) for family in profile.families},
            why_not=why_not,
        )
        remote = RemoteLedger(client)
        self._metering = Metering(remote, Reporter(remote.add, mirror=RayMetrics().record))
        orders = orders_here()
        live = LiveModels(profile, settings, client, live_models_here(), orders)
        catalog = Catalog(profile, settings, live)
        files = FileIntake(downloads=image_downloads(settings))
        self._services = Services(catalog, client, settings, readiness, orders, files)
        self._profile = profile
        self._host = checked_host(settings)
        self._app: FastAPI | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Serve calls this in the replica, after the constructor."""
        self._app = create_app(
            self._services,
            routers_of(self._profile),
            under_serve=True,
            metering=self._metering,
            host=self._host,
        )
        return self._app

    def front_of(self, entry: ASGIApp) -> Front:
        """The front that goes around Serve's entry of this replica."""
        assert self._app is not None
        return Front(entry, self._app.state.policy)


def all_routers(of_families: Iterable[APIRouter]) -> tuple[APIRouter, ...]:
    """The routers of families and those of every application, in the order of the documents."""
    families = tuple(of_families)
    return (
        *families,
        pages.router,
        health.router,
        home.router,
        playground.router,
        metrics.router,
        models.router,
        loading.router,
        graph.router,
        mcp.router,
        openai_models.router,
        *hub_routers(hub_tasks_of(families)),
    )


def routers_of(profile: Profile) -> list[APIRouter]:
    """The routers that the profile's families name, each once."""
    paths = dict.fromkeys(path for family in profile.families for path in family.routers)
    return [imported(path) for path in paths]
