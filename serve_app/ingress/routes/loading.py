"""``POST`` and ``DELETE /models/{model_name}``: load a model on every replica, and unload it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from configs.engines import Dtype
from configs.live_models import LiveOptions
from deployments.seam.replicas import ModelStatus, ReplicaReport
from serve_app.ingress.cluster.cluster_models import ClusterModels
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.live_order import LiveOrder
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import (
    NATIVE_PREFIX,
    Context,
    RequestContext,
    RequestServices,
    Services,
)
from serve_app.ingress.routes.native_events import ErrorEvent, ProgressEvent, error_event
from serve_app.ingress.streams import event
from serve_app.ingress.validation.fields import Body, ModelName
from serve_app.ingress.validation.json_body import JsonRoute, no_query

POLL_S = 0.25
"""Poll interval for the stage."""

router = APIRouter(
    prefix=NATIVE_PREFIX,
    tags=["models"],
    route_class=JsonRoute,
    dependencies=[Depends(no_query)],
)


EXAMPLE = {"dtype": "auto"}
"""A body in the documentation, which every model can be loaded with."""


class SourceBody(Body):
    """Where the weights are, if not where the name says: one of the two.

    ``folder`` is a name below a folder of the allow-list, never a path.
    """

    hub: ModelName | None = None
    folder: ModelName | None = None


class LoadBody(Body):
    """How a model is served that the profile does not name; what is left out is found out.

    ``task`` is one of the profile's words for tasks.
    """

    task: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    revision: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    quantization: Literal["none", "int8", "nf4"] | None = None
    dtype: Dtype | None = None
    source: SourceBody | None = None

    def order(self) -> LiveOrder:
        """Raises :class:`ValidationFailed` for a source of no kind or of two kinds."""
        source = self.source or SourceBody()
        if self.source is not None and (source.hub is None) == (source.folder is None):
            raise ValidationFailed("source has to have either hub or folder.", field="source")
        options = LiveOptions(self.task, self.quantization, self.dtype)
        return LiveOrder(options, self.revision, source.hub, source.folder)


class LoadedReplica(BaseModel):
    """Bytes are measured; ``seconds`` is how long loading took there."""

    replica: str
    node: str
    host_bytes: int
    gpu_bytes: int
    seconds: float


class LoadedAnswer(BaseModel):
    message: str
    replicas: list[LoadedReplica]
    model: str
    request_id: str
    execution_time: float


EVENTS = event_stream({"progress": ProgressEvent, "result": LoadedAnswer, "error": ErrorEvent})


class UnloadedReplica(BaseModel):
    """``freed_bytes`` is by how much the replica's memory fell."""

    replica: str
    node: str
    freed_bytes: int
    seconds: float


class UnloadedAnswer(BaseModel):
    message: str
    replicas: list[UnloadedReplica]
    model: str
    request_id: str
    execution_time: float


@router.post(
    "/models/{model_name:path}",
    summary="Load a model on every replica of its family",
    response_model=LoadedAnswer,
    responses=EVENTS,
    openapi_extra={"requestBody": {"content": {"application/json": {"example": EXAMPLE}}}},
)
async def load_model(
    model_name: str,
    request: Request,
    services: RequestServices,
    context: Context,
    body: LoadBody | None = None,
) -> Response:
    """Answers when it is loaded on every replica; at once if it is loaded already.

    A model that the profile does not name is inspected first, if its allow-list has the name; the
    body may say how it is served.

    It stays until it is deleted: it is not evicted, and replicas that start later load it too. With
    ``Accept: text/event-stream`` every step is a ``progress`` event.
    """
    order = LiveOrder() if body is None else body.order()
    card = await services.catalog.ordered(model_name, order)
    cluster = ClusterModels(services.client, services.orders, services.report_cache)
    if "text/event-stream" not in request.headers.get("accept", ""):
        found = await cluster.load(card, services.settings.request_timeout_s)
        return context.answer(_loaded(card, found), card.name)
    return await services.stream(
        LoadProgress(cluster, card, services, context).started(),
        LoadProgress.events,
        lambda error: error_event(error, context.request_id),
    )


@router.delete(
    "/models/{model_name:path}",
    summary="Unload a model from every replica",
    response_model=UnloadedAnswer,
)
async def unload_model(model_name: str, services: RequestServices, context: Context) -> Response:
    """Answers when it is unloaded on every replica and its memory freed.

    Requests that run on it are not cut: it goes when they have ended, and those that come meanwhile
    wait and load it again. Of a model that is not loaded nothing is left to do: 200. A pinned model
    goes like any other, since an operator's order outranks the profile; it stays away, from
    replicas that start later too, until it is loaded by order or a request asks for it. A model
    that was loaded by name is not listed any more; a request for it inspects and loads it anew.
    """
    card = await services.catalog.removed(model_name)
    cluster = ClusterModels(services.client, services.orders, services.report_cache)
    gone = await cluster.unload(card, services.settings.request_timeout_s)
    replicas = [
        {
            "replica": each.replica,
            "node": each.node,
            "freed_bytes": each.freed_bytes,
            "seconds": round(each.seconds, 3),
        }
        for each in gone
    ]
    message = f"Model {card.name} unloaded successfully"
    return context.answer({"message": message, "replicas": replicas}, card.name)


class LoadProgress:
    """The events of a model that is being loaded on every replica of its family.

    A client that leaves does not stop the loading: the order to load stays in force.
    """

    def __init__(
        self, cluster: ClusterModels, card: ModelCard, services: Services, context: RequestContext
    ) -> None:
        self._cluster = cluster
        self._card = card
        self._context = context
        self._load = asyncio.ensure_future(cluster.load(card, services.settings.load_timeout_s))
        self._progress = self._events()
        self._first = b""

    async def started(self) -> LoadProgress:
        """Wait for the first event. Raises when loading fails before there is one."""
        try:
            self._first = await anext(self._progress)
        except BaseException:
            self.close()
            raise
        return self

    async def events(self) -> AsyncGenerator[bytes, None]:
        """One event for each stage that a replica reaches, and at the end the whole answer."""
        async with aclosing(self._progress) as progress:
            yield self._first
            async for chunk in progress:
                yield chunk

    def close(self) -> None:
        self._load.cancel()

    async def _events(self) -> AsyncGenerator[bytes, None]:
        stages: dict[str, str] = {}
        while not self._load.done():
            for report, status in await self._report():
                if stages.get(report.replica) != status.stage:
                    stages[report.replica] = status.stage
                    yield _step(report, status)
            await asyncio.wait({self._load}, timeout=POLL_S)
        found = self._load.result()
        for report, status in found:
            if stages.get(report.replica) != status.stage:
                yield _step(report, status)
        yield event("result", self._context.complete(_loaded(self._card, found), self._card.name))

    async def _report(self) -> list[tuple[ReplicaReport, ModelStatus]]:
        found = await self._cluster.report([self._card.family], POLL_S)
        return found.of(self._card.name)


def _step(report: ReplicaReport, status: ModelStatus) -> bytes:
    held = status.host_bytes + status.gpu_bytes
    data: dict[str, Any] = {"replica": report.replica, "stage": status.stage}
    return event("progress", data | ({"bytes": held} if held else {}))


def _loaded(card: ModelCard, found: list[tuple[ReplicaReport, ModelStatus]]) -> dict[str, Any]:
    replicas = [
        {
            "replica": report.replica,
            "node": report.node,
            "host_bytes": status.host_bytes,
            "gpu_bytes": status.gpu_bytes,
            "seconds": round(status.seconds, 3),
        }
        for report, status in found
    ]
    return {"message": f"Model {card.name} loaded successfully", "replicas": replicas}
