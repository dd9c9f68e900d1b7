"""One request and its answer as they pass the front: ids, plain errors of Serve, slow readers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

from starlette.types import Message, Receive, Scope, Send

from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.error_answers import ErrorAnswers
from serve_app.ingress.front.answers import AnswerRoom, AnswerWithoutRoom, large_size, pieces_of
from serve_app.ingress.front.bodies import ReceivedBody
from serve_app.ingress.front.headers import Raw, RequestHeaders, with_id
from serve_app.ingress.front.serve_answers import ServeAnswer, is_plain_error
from serve_app.ingress.front.slow_readers import SlowReaders

logger = logging.getLogger(__name__)

Refused: TypeAlias = Callable[[Scope, str], None]
"""Called with a refused request and the reason, before the answer is sent."""

Answered: TypeAlias = Callable[[Scope, int], None]
"""Called with a request and the status of its answer, when that begins."""

STATE_KEY = "front"
"""In the ``state`` of a request that has passed a front: its exchange."""


def bounded_by_nothing(size: int) -> None:
    """Counts no bytes."""


def hold_of(scope: Scope) -> Callable[[int], None]:
    """What counts bytes as memory of the request of ``scope``."""
    exchange: FrontExchange | None = scope.get("state", {}).get(STATE_KEY)
    return bounded_by_nothing if exchange is None else exchange.hold


def has_room(scope: Scope, start: Message) -> bool:
    """Whether the front will send the answer that begins with ``start``; else it sends a 429."""
    exchange: FrontExchange | None = scope.get("state", {}).get(STATE_KEY)
    return exchange is None or exchange.has_room(start)


class FrontExchange:
    """The ``receive`` and ``send`` that the application is given.

    It receives the body that was read, then messages of the server. Every answer gets the request's
    id, unless ``echo`` is off, and Serve's plain-text errors get the error envelope. A server's
    ``send`` waits while its buffer is full: if that takes longer than ``readers`` allows, the
    client counts as gone. An answer that has nothing to send is not cut off.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        head: RequestHeaders,
        refused: Refused | None,
        answers: ErrorAnswers,
        readers: SlowReaders,
        *,
        echo: bool,
        answered: Answered | None = None,
        room: AnswerRoom | None = None,
    ) -> None:
        self.head = head
        self.body = ReceivedBody(receive)
        self.content: bytes | None = None
        self.key: ApiKey | None = None
        """The key that the request was admitted with, where keys are needed."""
        self.hold: Callable[[int], None] = bounded_by_nothing
        """Counts bytes as memory of this request: those that it makes the server fetch."""
        self.added: tuple[Raw, ...] = ()
        """Headers of the answer."""
        self.keyless = False
        """The path needs no key where others do. Its route reads no body, so none is kept in
        memory for clients without a key."""
        self.started = False
        self.cut = False
        self._refused = refused
        self._answered = answered
        self._answers = answers
        self.room = room
        """For the answer, until its client has read it; bounded by nothing where there is none."""
        self._held = 0
        self._admitted: bool | None = None
        """Whether there was room for the request's large answer, once that was found."""
        self._scope = scope
        self._receive = receive
        self._send = send
        self._echo = echo
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._listener: asyncio.Task[object] | None = None
        self._plain: ServeAnswer | None = None
        self._readers = readers
        self.sending_since: float | None = None
        """Since when the server waits until the client takes more of the answer."""

    async def receive(self) -> Message:
        """The application's ``receive``."""
        if self.content is not None:
            body, self.content = self.content, None
            return {"type": "http.request", "body": body, "more_body": False}
        listener = self._listener = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self.cut and listener is not None and listener.uncancel() == 0:
                return {"type": "http.disconnect"}
            raise
        finally:
            self._listener = None

    async def send(self, message: Message) -> None:
        """The application's ``send``."""
        if message["type"] == "http.response.start":
            if is_plain_error(message):
                self._plain = ServeAnswer(message)
                return
            if not self.has_room(message):
                self._plain = AnswerWithoutRoom(message)
                return
            self.started = True
            if self._answered is not None:
                self._answered(self._scope, message["status"])
            self._readers.watch(self)
            if self._echo:
                message = with_id(message, self.head.request_id)
            if self.added:
                message = {**message, "headers": [*message.get("headers", ()), *self.added]}
        elif self._plain is not None:
            await self._translate(self._plain, message)
            return
        # uvicorn waits for a slow reader before it writes, and not after: an answer in one piece
        # would count as sent while all of it is in memory.
        for piece in pieces_of(message) if self._held else (message,):
            await self._pass_on(piece)

    async def _pass_on(self, message: Message) -> None:
        # A stream sends heartbeats and chunks from two tasks: the one that waits longest counts.
        if self.sending_since is None:
            self.sending_since = self._loop.time()
        try:
            await self._send(message)
        finally:
            self.sending_since = None

    def close(self) -> None:
        """The application has returned."""
        if self.room is not None:
            self.room.give_back(self._held)
            self._held = 0
        if self._admitted is None:
            self._admitted = True  # an application that goes on takes no room: nobody returns it
        self._readers.forget(self)

    def has_room(self, start: Message) -> bool:
        """Whether there is room for the answer that begins, which is taken at the first call."""
        nbytes = large_size(start)
        if not nbytes or self.room is None:
            return True
        if self._admitted is None:
            self._admitted = self.room.take(nbytes)
            self._held = nbytes if self._admitted else 0
        return self._admitted

    async def _translate(self, plain: ServeAnswer, message: Message) -> None:
        if plain.translated:
            return
        plain.translated = True
        error = plain.error(message.get("body", b""))
        self._plain = None
        if self._refused is not None:
            self._refused(self._scope, error.error_type)
        response = self._answers.answer(error, self._scope["path"], self.head.request_id)
        response.raw_headers += plain.cors_headers
        await response(self._scope, self._receive, self.send)
        self._plain = plain

    def cut_off(self) -> None:
        """End the answer: its client does not read it."""
        logger.warning(
            "request %s: the client took nothing of its answer for %g s",
            self.head.request_id,
            self._readers.timeout_s,
        )
        self.cut = True
        # Serve waits for the application or for the client to leave, and cancels the other.
        waiting = self._listener or self._task
        if waiting is not None:
            waiting.cancel()
