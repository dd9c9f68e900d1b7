"""The parameters of routes: the services of the application, and the context of one request."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.responses import Response

from configs.settings import Settings
from deployments.seam.orders import Orders, OwnOrders
from serve_app.ingress.caller import admitted_key
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.attempts import wait_until
from serve_app.ingress.cluster.cluster_models import ClusterModels
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.loading_comment import LoadingComment
from serve_app.ingress.cluster.readiness import Readiness
from serve_app.ingress.cluster.report_cache import ReportCache
from serve_app.ingress.deadline import deadline_of
from serve_app.ingress.errors import ServiceError
from serve_app.ingress.file_intake import FileIntake
from serve_app.ingress.front.exchange import hold_of
from serve_app.ingress.front.front import context_of
from serve_app.ingress.json_pieces import encoded, encoded_in_pieces
from serve_app.ingress.loop_turns import LoopTurns
from serve_app.ingress.metering.middleware import record_of
from serve_app.ingress.metering.recording import CallRecorder
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.request_id import request_id_of
from serve_app.ingress.streams import EventStream, StreamSource, begin_stream, heartbeat
from serve_app.ingress.validation.schema_text import SchemaText

S = TypeVar("S", bound=StreamSource)
T = TypeVar("T")

NATIVE_PREFIX = "/api/v1/huggingface"
JSON = "application/json"
NATIVE_FIELDS = {"model": "model_name"}
"""The native routes' names for fields of the seam, where they differ."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the routes share; made once by ``create_app``.

    Long pieces of work, such as large bodies and answers, go onto the event loop by ``turns``.
    In a request, ``deadline`` is when its client stops waiting, in the time of the event loop.
    """

    catalog: Catalog
    client: DeploymentClient
    settings: Settings
    readiness: Readiness
    orders: Orders = field(default_factory=OwnOrders)
    files: FileIntake = field(default_factory=FileIntake)
    report_cache: ReportCache = field(default_factory=ReportCache)
    turns: LoopTurns = field(default_factory=LoopTurns)
    started: int = field(default_factory=lambda: int(time.time()))
    deadline: float | None = None

    def loading(self, card: ModelCard) -> LoadingComment:
        """The comment of a stream that waits for the model of ``card``."""
        return LoadingComment(ClusterModels(self.client, self.orders, self.report_cache), card)

    async def stream(
        self,
        opening: Coroutine[Any, Any, S],
        chunks: Callable[[S], AsyncGenerator[bytes, None]],
        failed: Callable[[ServiceError], bytes],
        card: ModelCard | None = None,
    ) -> EventStream:
        """As :func:`begin_stream`; while it waits, its comments say how far ``card`` is loaded."""
        comment = heartbeat if card is None else self.loading(card)
        opening = self.in_time(opening)
        return await begin_stream(opening, chunks, failed, self.settings.heartbeat_s, comment)

    def in_time(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """``work`` until the request's deadline. Raises :class:`DeadlineExceeded` then."""
        return work if self.deadline is None else wait_until(self.deadline, work)


async def services_of(request: Request) -> Services:
    """The services for one request: their calls carry its context, its downloads are its own.

    They record the use of models where the request is metered, and refuse families that the
    request's key may not use.

    This is a coroutine though it awaits nothing, like every dependency here: FastAPI runs plain
    functions in a thread, which costs more than the rest of the application.
    """
    services: Services = request.app.state.services
    files = services.files.for_request(hold_of(request.scope))
    key, record, catalog = admitted_key(request.scope), record_of(request.scope), services.catalog
    families = frozenset[str]() if key is None else key.families
    if families:
        catalog = catalog.restricted_to(families)
    if record is not None:
        catalog = catalog.observed_by(record)
    recorder = None if record is None else CallRecorder(record)
    deadline = deadline_of(request.scope)
    client = services.client.for_request(
        context_of(request.scope), recorder, deadline=deadline, families=families
    )
    return replace(services, catalog=catalog, client=client, files=files, deadline=deadline)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The answer of a native task, one object or a bare list, and the model that gave it."""

    body: dict[str, Any] | list[Any]
    model: str


@dataclass(slots=True)
class RequestContext:
    """One request: its id, when it arrived, and the client's session, which may be empty."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    request: Request | None = field(default=None, repr=False)
    session: str = ""

    async def schema_text(self) -> SchemaText:
        """The JSON schemas in the request's body, as they are written there."""
        return SchemaText(b"{}" if self.request is None else await self.request.body())

    def complete(self, body: dict[str, Any], model: str | None = None) -> dict[str, Any]:
        """``body`` with the fields that every native object answer carries."""
        return {
            **body,
            **({"model": model} if model else {}),
            "request_id": self.request_id,
            "execution_time": round(time.perf_counter() - self.started, 6),
        }

    async def respond(self, result: TaskResult, turns: LoopTurns) -> Response:
        """A task's result as the response of its own route, written by ``turns`` if it is large."""
        if isinstance(result.body, list):
            return await paced_json(result.body, turns, self._headers(result.model))
        return await paced_json(self.complete(result.body, result.model), turns)

    def answer(self, body: dict[str, Any], model: str | None = None) -> Response:
        return json_response(self.complete(body, model))

    def bare_list(self, items: list[Any], model: str) -> Response:
        """A bare list; the fields that an object answer carries travel in headers."""
        return json_response(items, self._headers(model))

    def _headers(self, model: str) -> dict[str, str]:
        elapsed = f"{time.perf_counter() - self.started:.6f}"
        return {"X-Model": model, "X-Execution-Time": elapsed}


def json_response(body: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return Response(encoded(body), status, headers=headers, media_type=JSON)


async def paced_json(
    body: Any, turns: LoopTurns, headers: dict[str, str] | None = None
) -> Response:
    """As :func:`json_response`; vectors that are many are written by ``turns``."""
    content = await encoded_in_pieces(body, turns)
    return Response(content, headers=headers, media_type=JSON)


async def request_context(request: Request) -> RequestContext:
    session = request.headers.get("x-session-id", "")  # the front has checked and bounded it
    return RequestContext(request_id_of(request.scope), request=request, session=session)


RequestServices = Annotated[Services, Depends(services_of)]
Context = Annotated[RequestContext, Depends(request_context)]
