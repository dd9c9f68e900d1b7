"""The front: middleware that checks every request before Serve's entry and the application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.exposure import is_loopback
from configs.settings import Settings
from deployments.seam.call_context import CallContext
from serve_app.ingress.api_key import INFERENCE
from serve_app.ingress.caller import key_in
from serve_app.ingress.deadline import check_deadline, set_deadline
from serve_app.ingress.error_answers import ErrorAnswers
from serve_app.ingress.errors import InternalError, RequestTimeout, ServiceError
from serve_app.ingress.front.access import READ_METHODS, AllowedHosts, scope_of
from serve_app.ingress.front.answers import AnswerRoom
from serve_app.ingress.front.bodies import BodyReader
from serve_app.ingress.front.exchange import STATE_KEY, Answered, FrontExchange, Refused
from serve_app.ingress.front.headers import SESSION_ID, RequestHeaders, read
from serve_app.ingress.front.key_ring import KeyRing, key_ring
from serve_app.ingress.front.slow_readers import SlowReaders
from serve_app.ingress.keys.limits import HEADERS
from serve_app.ingress.loop_turns import LoopTurns
from serve_app.ingress.request_id import HEADER

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

Early: TypeAlias = Callable[[Scope, bytes], None]
"""Raises :class:`ServiceError` for a request that cannot be answered in time."""

_CHANGED = "dictionary changed size during iteration"

WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
LARGE_BODY = 64 * 1024
"""Larger bodies enter the application a few turns of the loop apart: parsing one of 10 MiB, and
sending it on, takes some 30 ms, in which nobody else is answered."""
OPEN_PART = 8
"""Answers on paths that need no key have room for this part of the bytes that all others have, and
take none of theirs: a client without a key could fill it with pages that it does not read."""

EXPOSED = (
    HEADER,
    "x-model",
    "x-execution-time",
    "server-timing",
    "retry-after",
    "www-authenticate",
    "allow",
    *HEADERS,
)
"""Headers of answers that scripts of another origin may read."""


@dataclass(frozen=True, slots=True)
class FrontPolicy:
    """The rules of a front.

    ``refused`` is called with refused requests, and ``answered`` with every request, to count them.
    ``early`` is called with a request and its whole body, and may refuse it. Requests with large
    bodies go on by ``turns``.
    """

    settings: Settings
    keys: KeyRing | None
    hosts: AllowedHosts | None
    refused: Refused | None
    answers: ErrorAnswers
    answered: Answered | None = None
    early: Early | None = None
    turns: LoopTurns = field(default_factory=LoopTurns)


def policy_for(
    settings: Settings,
    host: str | None,
    refused: Refused | None,
    answers: ErrorAnswers,
    answered: Answered | None = None,
    early: Early | None = None,
    turns: LoopTurns | None = None,
) -> FrontPolicy:
    """The policy of the settings. ``host`` is where the service listens, if known.

    Raises :class:`configs.errors.ConfigError` when the file of keys is wrong.
    """
    hosts = None
    if settings.allowed_hosts or is_loopback(host):
        hosts = AllowedHosts((*settings.allowed_hosts, host or "localhost"), settings.cors_origins)
    keys, turns = key_ring(settings), turns or LoopTurns()
    return FrontPolicy(settings, keys, hosts, refused, answers, answered, early, turns)


class Front:
    """ASGI middleware: checks ids, headers, hosts, keys and bodies, and cuts off slow readers.

    Under Serve there is one outside Serve's own entry (:mod:`serve_app.ingress.front.entry`), and
    one around the application, which passes requests that came through the first. ``echo`` is off
    where something outside puts the request's id on answers.
    """

    def __init__(self, app: ASGIApp, policy: FrontPolicy, *, echo: bool = True) -> None:
        self._app = app
        self._policy = policy
        self._echo = echo
        self._bodies = BodyReader(policy.settings)
        max_bytes = policy.settings.max_inflight_answer_bytes
        self._room = AnswerRoom(max_bytes)
        self._readers = SlowReaders(policy.settings.send_timeout_s)
        self._open_room = AnswerRoom(max_bytes // OPEN_PART)
        self._checked_app: ASGIApp = self._with_error_responses
        if policy.settings.cors_origins:
            self._checked_app = CORSMiddleware(
                self._with_error_responses,
                allow_origins=list(policy.settings.cors_origins),
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=EXPOSED,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or STATE_KEY in scope.get("state", ()):
            await self._app(scope, receive, send)
            return
        head = read(scope["headers"])
        scope["headers"] = head.headers
        exchange = FrontExchange(
            scope,
            receive,
            send,
            head,
            self._policy.refused,
            self._policy.answers,
            self._readers,
            echo=self._echo,
            answered=self._policy.answered,
            room=self._room,
        )
        exchange.hold = partial(self._bodies.hold_more, exchange.body)
        scope.setdefault("state", {}).update({"request_id": head.request_id, STATE_KEY: exchange})
        try:
            await self._checked_app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not exchange.cut:
                raise
        finally:
            exchange.close()
            self._bodies.release(exchange.body)

    async def _with_error_responses(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: FrontExchange = scope["state"][STATE_KEY]
        try:
            await self._guarded(scope, receive, send)
        except Exception:  # whatever Serve's entry or this front raises
            logger.exception("request %s failed", exchange.head.request_id)
            if not exchange.started:
                await self._answer(InternalError(), scope, exchange, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: FrontExchange = scope["state"][STATE_KEY]
        head = exchange.head
        try:
            await self._admit(scope, exchange)
            if exchange.keyless and not await self._bodies.drain(exchange.body, head):
                raise RequestTimeout("The body did not arrive in time.")
            if exchange.keyless:
                exchange.content = b""
            elif head.has_body or scope["method"] not in WITHOUT_BODY:
                exchange.content = await self._bodies.read(exchange.body)
                if exchange.content is None:
                    return
                if len(exchange.content) > LARGE_BODY:
                    await self._policy.turns.next()
            check_deadline(scope)
            if self._policy.early is not None and exchange.content:
                self._policy.early(scope, exchange.content)
        except ServiceError as error:
            self._bodies.release(exchange.body)
            slow = isinstance(error, RequestTimeout)
            if slow or not await self._bodies.drain(exchange.body, head):
                error.headers["Connection"] = "close"
            await self._answer(error, scope, exchange, send)
            return
        try:
            await self._app(scope, receive, send)
        except RuntimeError as error:
            # Where a client has left, Serve 2.60 cancels the request's calls in a loop over a
            # dictionary that cancelled calls leave. All end nevertheless, with its task.
            if _CHANGED in str(error) and isinstance(error.__context__, asyncio.CancelledError):
                raise error.__context__ from None
            raise

    async def _admit(self, scope: Scope, exchange: FrontExchange) -> None:
        """Refuse by the headers alone. Raises :class:`ServiceError`."""
        head, policy = exchange.head, self._policy
        head.check()
        if head.timeout_s is not None:
            set_deadline(scope, min(head.timeout_s, policy.settings.request_timeout_s))
        if policy.hosts is not None:
            seen = head.seen.get
            policy.hosts.check(scope["method"], seen(b"host", b""), seen(b"origin", b""))
        session = head.session
        if policy.keys is not None:
            needed = scope_of(scope["method"], path_of(scope))
            exchange.keyless = needed is None
            if needed is None:
                exchange.room = self._open_room
            else:
                key = exchange.key = await policy.keys.named(_presented(head), needed)
                session = session and key.name.encode() + b":" + session
                if needed == INFERENCE and scope["method"] not in READ_METHODS:
                    exchange.added, refusal = await policy.keys.admit(key)
                    if refusal is not None:
                        raise refusal
        if session:
            head.headers.append((SESSION_ID, session))
        self._bodies.check(head)

    async def _answer(
        self, error: ServiceError, scope: Scope, exchange: FrontExchange, send: Send
    ) -> None:
        if self._policy.refused is not None:  # first: a client with the answer finds it counted
            self._policy.refused(scope, error.error_type)
        response = self._policy.answers.answer(error, scope["path"], exchange.head.request_id)
        await response(scope, exchange.receive, send)


def context_of(scope: Scope) -> CallContext | None:
    """The context of a request for the calls that it makes; ``None`` of one that met no front."""
    exchange: FrontExchange | None = scope.get("state", {}).get(STATE_KEY)
    if exchange is None:
        return None
    key = exchange.key
    if key is None:
        return CallContext(share=exchange.head.share)
    return CallContext(key.name, exchange.head.share, key.weight)


def _presented(head: RequestHeaders) -> str | None:
    bearer, other = (head.seen.get(name, b"") for name in (b"authorization", b"x-api-key"))
    return key_in(bearer.decode("latin-1"), other.decode("latin-1"))


def path_of(scope: Scope) -> str:
    """The path without the prefix at which the server is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path
