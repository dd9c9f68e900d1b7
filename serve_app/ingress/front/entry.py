"""Puts the front outside Serve's own HTTP entry, in replicas and in Serve's proxies.

Serve calls :func:`middlewares` if ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` names it: in every
replica that answers HTTP itself, before the replica is ready, and in every proxy.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, runtime_checkable

from ray import serve
from ray.serve.exceptions import RayServeException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.ingress.error_answers import ErrorAnswers
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.front.exchange import FrontExchange
from serve_app.ingress.front.front import Front, path_of
from serve_app.ingress.front.headers import SESSION_ID, read
from serve_app.ingress.front.slow_readers import SlowReaders
from serve_app.ingress.routes.dialects import error_answers

SERVE_PATHS = frozenset({"/-/healthz", "/-/routes"})
"""Serve answers these itself, for load balancers."""
SEND_TIMEOUT_S = 60.0
"""In proxies: the default of the setting."""


def middlewares() -> list[Middleware]:
    """The middleware that Serve puts around its entry in this process."""
    try:
        serve.get_replica_context()
    except RayServeException:
        return [Middleware(ProxyFront, answers=error_answers())]
    return [Middleware(ReplicaFront)]


@runtime_checkable
class Fronted(Protocol):
    """An ingress deployment of this service."""

    def front_of(self, entry: ASGIApp) -> Front: ...


class ReplicaFront:
    """In a replica: the front that the replica's ingress requests.

    Requests pass unchanged while Serve does not know the ingress yet, and when it is another
    application's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._inside: ASGIApp | None = None

    # It must be a coroutine function: uvicorn takes anything else for an ASGI 2 application.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if _is_serve_path(scope) else self._inside or self._found()
        await app(scope, receive, send)

    def _found(self) -> ASGIApp:
        servable = serve.get_replica_context().servable_object
        if servable is None:
            return self._app
        self._inside = servable.front_of(self._app) if isinstance(servable, Fronted) else self._app
        return self._inside


class ProxyFront:
    """In a proxy of Serve, which has no settings: checks headers, ids, errors and slow readers.

    The front around the application checks the rest in the replica.
    """

    def __init__(self, app: ASGIApp, answers: ErrorAnswers) -> None:
        self._app = app
        self._answers = answers
        self._readers = SlowReaders(SEND_TIMEOUT_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_serve_path(scope):
            await self._app(scope, receive, send)
            return
        head = read(scope["headers"])
        scope["headers"] = head.headers
        if head.session:
            head.headers.append((SESSION_ID, head.session))
        exchange = FrontExchange(
            scope,
            receive,
            send,
            head,
            None,
            self._answers,
            self._readers,
            echo=True,
        )
        app: ASGIApp = self._app
        try:
            head.check()
        except ValidationFailed as error:
            app = self._answers.answer(error, scope["path"], head.request_id)
        try:
            await app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not exchange.cut:
                raise
        finally:
            exchange.close()


def _is_serve_path(scope: Scope) -> bool:
    return scope["type"] == "http" and path_of(scope) in SERVE_PATHS
