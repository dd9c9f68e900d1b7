"""The outermost edge of the application: what nobody foresaw."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.ingress.errors import InternalError, answer
from serve_app.ingress.request_id import request_id_of

logger = logging.getLogger(__name__)


class UnhandledErrors:
    """ASGI middleware: an unforeseen failure is logged, and answered without its internals."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watching(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watching)
        except Exception:  # the outermost edge
            logger.exception("request %s failed", request_id_of(scope))
            if not started:
                response = answer(InternalError(), scope["path"], request_id_of(scope))
                await response(scope, receive, send)
