"""What a route works with, and how it gets it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from configs.settings import Settings
from deployments.seam.orders import Orders, OwnOrders
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.readiness import Readiness
from serve_app.ingress.cluster.report_cache import ReportCache
from serve_app.ingress.images import ImageIntake
from serve_app.ingress.metering.middleware import record_of
from serve_app.ingress.metering.recording import CallRecorder
from serve_app.ingress.request_id import request_id_of
from serve_app.ingress.validation.schema_text import SchemaText

NATIVE_PREFIX = "/api/v1/huggingface"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the routes share; made once by ``create_app``."""

    catalog: Catalog
    client: DeploymentClient
    settings: Settings
    readiness: Readiness
    orders: Orders = field(default_factory=OwnOrders)
    images: ImageIntake = field(default_factory=ImageIntake)
    report_cache: ReportCache = field(default_factory=ReportCache)
    started: int = field(default_factory=lambda: int(time.time()))


async def services_of(request: Request) -> Services:
    """The services, which record the models and calls of a request that is metered.

    Like every dependency here a coroutine, though it awaits nothing: FastAPI sends plain functions
    to a thread, which costs more than the rest of the application.
    """
    services: Services = request.app.state.services
    record = record_of(request.scope)
    if record is None:
        return services
    client = services.client.observed_by(CallRecorder(record))
    return replace(services, catalog=services.catalog.observed_by(record), client=client)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a native task came to: one object, or a bare list; and the model that did it."""

    body: dict[str, Any] | list[Any]
    model: str


@dataclass(slots=True)
class RequestContext:
    """One native request on its way: its id and when it came."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    request: Request | None = field(default=None, repr=False)

    async def schema_text(self) -> SchemaText:
        """The schemas of its JSON body, which was read already."""
        return SchemaText(b"{}" if self.request is None else await self.request.body())

    def whole(self, body: dict[str, Any], model: str | None = None) -> dict[str, Any]:
        """``body`` with what every native object answer carries."""
        return {
            **body,
            **({"model": model} if model else {}),
            "request_id": self.request_id,
            "execution_time": round(time.perf_counter() - self.started, 6),
        }

    def respond(self, answered: TaskResult) -> Response:
        """A task's outcome as the response of its own route."""
        if isinstance(answered.body, list):
            return self.bare_list(answered.body, answered.model)
        return self.answer(answered.body, answered.model)

    def answer(self, body: dict[str, Any], model: str | None = None) -> Response:
        return json_response(self.whole(body, model))

    def bare_list(self, items: list[Any], model: str) -> Response:
        """A bare list; what an object would carry travels in headers."""
        elapsed = f"{time.perf_counter() - self.started:.6f}"
        return json_response(items, {"X-Model": model, "X-Execution-Time": elapsed})


def json_response(body: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return Response(
        orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
        status,
        headers=headers,
        media_type="application/json",
    )


async def request_context(request: Request) -> RequestContext:
    return RequestContext(request_id_of(request.scope), request=request)


Served = Annotated[Services, Depends(services_of)]
Context = Annotated[RequestContext, Depends(request_context)]
