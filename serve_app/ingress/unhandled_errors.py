"""Middleware for failures that nothing else handled: they become a logged 500 without details."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.ingress.error_answers import ErrorAnswers
from serve_app.ingress.errors import InternalError
from serve_app.ingress.request_id import request_id_of

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level


class UnhandledErrors:
    """ASGI middleware. An answer that has begun is cut off, since its status cannot change."""

    def __init__(self, app: ASGIApp, answers: ErrorAnswers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watch_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch_start)
        except Exception:  # whatever a route raises
            request_id = request_id_of(scope)
            logger.exception("request %s failed", request_id)
            if not started:
                response = self._answers.answer(InternalError(), scope["path"], request_id)
                await response(scope, receive, send)
