"""A stream of generated tokens that survives the loss of its replica."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from deployments.seam.generation import GenerationRequest, TokenChunk
from deployments.seam.problems import Problem
from deployments.seam.timings import CallTiming
from serve_app.ingress.cluster.admission import Place
from serve_app.ingress.cluster.attempts import Attempts
from serve_app.ingress.cluster.replica_failures import ReplicaLost, result_of
from serve_app.ingress.cluster.stream_progress import StreamProgress
from serve_app.ingress.errors import DeadlineExceeded, InternalError, Unavailable, from_problem

logger = logging.getLogger(__name__)

SILENCE_S = 10.0
"""After so long without an item the stream looks whether its replica still runs. The connection to
a node that was unplugged says nothing for minutes."""


class ChunkObserver(Protocol):
    """Is notified of every chunk of a stream just before it is yielded."""

    def add(self, chunk: TokenChunk) -> None: ...

    def timing_received(self, timing: CallTiming) -> None: ...


class ChunkStream:
    """The token chunks of one request. Closing it, or cancelling its reader, stops the generation.

    When the replica is lost, another one continues behind the tokens that have arrived. ``send``
    starts a streaming call of a handle. ``fields`` translates the names of the request's fields to
    those of the route, for errors. ``place`` is its place among the calls in flight. ``has_left``
    tells of a response whether its replica runs no longer: one that is also silent is lost.
    """

    def __init__(
        self,
        send: Callable[[GenerationRequest], Any],
        request: GenerationRequest,
        attempts: Attempts,
        fields: Mapping[str, str] | None = None,
        place: Place | None = None,
        has_left: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        self._send = send
        self._has_left = has_left
        self._attempts = attempts
        self._fields = fields
        self._place = place or Place()
        self._progress = StreamProgress(request)
        self._response = send(request)
        self._first: TokenChunk | None = None
        self._observer: ChunkObserver | None = None
        self._timing: CallTiming | None = None

    async def start(self) -> None:
        """Wait for the first chunk. Raises :class:`ServiceError` when there is none."""
        first = await self._next()
        if isinstance(first, Problem):
            error = from_problem(first, self._fields)
            self.close(error)
            raise error
        if first is None:
            raise InternalError
        self._first = first

    def observe(self, observer: ChunkObserver) -> None:
        self._observer = observer

    async def __aiter__(self) -> AsyncIterator[TokenChunk]:
        """Every chunk, the first included. Raises :class:`ServiceError` when the stream breaks."""
        item: TokenChunk | Problem | None = self._first
        try:
            while item is not None:
                if isinstance(item, Problem):
                    raise from_problem(item, self._fields)
                if self._observer is not None:
                    self._observer.add(item)
                yield item
                item = await self._next()
            if self._observer is not None and self._timing is not None:
                self._observer.timing_received(self._timing)
        finally:
            self.close()

    def close(self, error: BaseException | None = None) -> None:
        """Stop the generation within one decode step. Does nothing once the stream has ended.

        ``error`` is why it failed, if it did.
        """
        self._response.cancel()
        self._place.close(error)

    async def _next(self) -> TokenChunk | Problem | None:
        """The next item, ``None`` at the end, from another replica when this one is lost."""
        while not self._progress.complete:
            self._attempts.begin()
            try:
                item = await self._attempts.wait(self._watched())
            except ReplicaLost:
                self._attempts.retry()
                self._response = self._send(self._progress.remaining())
                continue
            except (DeadlineExceeded, Unavailable, asyncio.CancelledError) as error:
                self.close(error)
                raise
            if isinstance(item, TokenChunk):
                self._progress.add(item)
                self._place.write(len(item.tokens), last=self._progress.complete)
            self._attempts.reset()
            return item
        return None

    async def _watched(self) -> TokenChunk | Problem:
        """The next item. Raises :class:`ReplicaLost` also when the replica has left in silence."""
        self._given_up = False
        self._look_later()
        try:
            return await self._received()
        except Unavailable:
            if self._given_up:
                raise ReplicaLost from None
            raise
        finally:
            self._timer.cancel()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SILENCE_S, self._look)

    def _look(self) -> None:
        if self._has_left(self._response):
            self._given_up = True
            self._response.cancel()
        else:
            self._look_later()

    async def _received(self) -> TokenChunk | Problem:
        item: TokenChunk | Problem | CallTiming | None
        item = await result_of(anext(self._response, None))
        if isinstance(item, CallTiming):  # before the last chunk of a timed stream
            self._timing = item
            item = await result_of(anext(self._response, None))
            assert not isinstance(item, CallTiming)
        if item is None:
            logger.error("a stream ended before its last token")
            raise InternalError
        return item
