"""The deadline of a request whose client says how long it waits for the answer.

The header ``X-Request-Timeout`` has the seconds. Serve has a header of its own for this, which the
front drops, since Serve answers with a plain 408.
"""

from __future__ import annotations

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.ingress.error_answers import ErrorAnswers
from serve_app.ingress.errors import DeadlineExceeded, ValidationFailed
from serve_app.ingress.request_id import request_id_of

HEADER = "x-request-timeout"
STATE_KEY = "deadline"

SECONDS = re.compile(rb"\d{1,9}(\.\d{1,9})?")
GRACE_S = 0.25
"""Calls of models end at the deadline itself, and their route may still answer with what it has."""

LATE = "The answer was not complete within the time that the request allows."


def seconds_in(value: bytes) -> float:
    """The seconds in a header of a client. Raises :class:`ValidationFailed`, which names it."""
    seconds = float(value) if SECONDS.fullmatch(value) else 0.0
    if seconds <= 0:
        message = f"{HEADER}: expected a number of seconds above 0, such as 2.5"
        raise ValidationFailed(message, field=HEADER)
    return seconds


def set_deadline(scope: Scope, seconds: float) -> None:
    """The request in ``scope`` has so many seconds from now on."""
    scope["state"][STATE_KEY] = asyncio.get_running_loop().time() + seconds


def deadline_of(scope: Scope) -> float | None:
    """When the client stops waiting, in the time of the event loop, if it says so."""
    deadline: float | None = scope.get("state", {}).get(STATE_KEY)
    return deadline


def seconds_left(scope: Scope, otherwise: float) -> float:
    """Until the request's deadline; ``otherwise`` where its client set none."""
    deadline = deadline_of(scope)
    return otherwise if deadline is None else deadline - asyncio.get_running_loop().time()


def check_deadline(scope: Scope) -> None:
    """Raises :class:`DeadlineExceeded` once the request is too late."""
    deadline = deadline_of(scope)
    if deadline is not None and asyncio.get_running_loop().time() >= deadline:
        raise DeadlineExceeded(LATE)


class Deadlines:
    """ASGI middleware: a request without an answer at its deadline is cancelled, and gets a 504.

    Whatever it waits for is cancelled with it. A stream that has begun ends by its own error event.
    """

    def __init__(self, app: ASGIApp, answers: ErrorAnswers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = deadline_of(scope)
        if deadline is None:
            await self._app(scope, receive, send)
            return
        started = False
        try:
            async with asyncio.timeout_at(deadline + GRACE_S) as timer:

                async def lift_at_start(message: Message) -> None:
                    nonlocal started
                    if message["type"] == "http.response.start":
                        started = True
                        if not timer.expired():  # else it cannot be lifted any more
                            timer.reschedule(None)
                    await send(message)

                await self._app(scope, receive, lift_at_start)
        except TimeoutError:
            if not timer.expired():
                raise
            if not started:
                error, request_id = DeadlineExceeded(LATE), request_id_of(scope)
                await self._answers.answer(error, scope["path"], request_id)(scope, receive, send)
