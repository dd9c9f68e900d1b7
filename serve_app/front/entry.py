"""The front outside Serve's HTTP entry.

Serve calls :func:`middlewares` where ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` names it: in
every replica that answers HTTP itself, before the replica is ready, and in every proxy of Serve's.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from ray import serve
from ray.serve.exceptions import RayServeException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.errors import ValidationFailed, answer
from serve_app.front.front import Front
from serve_app.front.headers import SESSION_ID, read, with_id


def middlewares() -> list[Middleware]:
    """What Serve puts around its entry in this process."""
    try:
        serve.get_replica_context()
    except RayServeException:
        return [Middleware(ProxyFront)]
    return [Middleware(ReplicaFront)]


@runtime_checkable
class Fronted(Protocol):
    """An ingress deployment of this service."""

    def front_of(self, entry: ASGIApp) -> Front: ...


class ReplicaFront:
    """In a replica: the front that its ingress asks for, once Serve tells which that is.

    Until then, and around another application's ingress, everything passes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._inside: ASGIApp | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (self._inside or self._found())(scope, receive, send)

    def _found(self) -> ASGIApp:
        servable = serve.get_replica_context().servable_object
        if servable is None:
            return self._app
        self._inside = servable.front_of(self._app) if isinstance(servable, Fronted) else self._app
        return self._inside


class ProxyFront:
    """In a proxy of Serve's, which knows no settings: headers and ids.

    The rest is done in the replica, by the front around the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = read(scope["headers"])
        scope["headers"] = head.headers
        if head.session:
            head.headers.append((SESSION_ID, head.session))

        async def send_with_id(message: Message) -> None:
            begins = message["type"] == "http.response.start"
            await send(with_id(message, head.request_id) if begins else message)

        try:
            head.check()
        except ValidationFailed as error:
            response = answer(error, scope["path"], head.request_id)
            await response(scope, receive, send_with_id)
            return
        await self._app(scope, receive, send_with_id)
