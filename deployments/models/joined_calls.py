"""Runs calls that arrived together, each as a task of its own, and sends answers as they come."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections import deque
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, TypeAlias

from deployments.models.ongoing_requests import max_ongoing_requests
from deployments.seam.joined_calls import (
    CallFailed,
    CallOutcome,
    CancelledCalls,
    JoinedAnswers,
    JoinedCalls,
    NoRoom,
)

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

MAX_ITEM_BYTES = 1024 * 1024
"""Answers that are ready at once share a message up to this size. A larger one is sent alone."""

MAX_EARLY_CANCELS = 1024

CallKey: TypeAlias = tuple[str, int]


class CallRunner:
    """Runs the joined calls of one replica.

    Serve counts a list of calls as one request. So this counts calls, and refuses those above
    ``max_running``: by default the ``max_ongoing_requests`` of the deployment.
    """

    def __init__(
        self, deployment: Any, max_running: Callable[[], int | None] = max_ongoing_requests
    ) -> None:
        self._deployment = deployment
        self._max_running = max_running
        self._running: dict[CallKey, asyncio.Task[bytes]] = {}
        self._cancelled_early: dict[CallKey, None] = {}
        self.refused = 0
        """Calls that were sent back since the start, for want of room."""

    async def run(self, calls: JoinedCalls) -> AsyncGenerator[JoinedAnswers, None]:
        """Start ``calls``, and yield their outcomes as soon as there are any.

        Calls that were cancelled have no outcome. Closing the generator cancels the others.
        """
        ready = ReadyAnswers()
        keys = [(calls.sender, number) for number in calls.requests]
        try:
            for key, request in zip(keys, calls.requests.values(), strict=True):
                self._start(key, calls.method, request, ready)
            while ready.expected:
                yield await ready.take()
        finally:
            self._cancel(keys)

    def cancel(self, cancelled: CancelledCalls) -> None:
        """Cancel calls. One that is not known yet is cancelled when it comes."""
        keys = [(cancelled.sender, number) for number in cancelled.numbers]
        self._cancelled_early.update(dict.fromkeys(key for key in keys if key not in self._running))
        while len(self._cancelled_early) > MAX_EARLY_CANCELS:
            del self._cancelled_early[next(iter(self._cancelled_early))]
        self._cancel(keys)

    def _start(self, key: CallKey, method: str, request: bytes, ready: ReadyAnswers) -> None:
        if key in self._cancelled_early:
            del self._cancelled_early[key]
            return
        ready.expected += 1
        limit = self._max_running()
        if limit is not None and len(self._running) >= limit:
            self.refused += 1
            ready.put(key[1], NoRoom())
            return
        task = asyncio.get_running_loop().create_task(self._answer(method, request))
        self._running[key] = task
        task.add_done_callback(partial(self._ended, key, ready))

    async def _answer(self, method: str, request: bytes) -> bytes:
        try:
            result = await getattr(self._deployment, method)(pickle.loads(request))  # noqa: S301 - of the ingress
        except (KeyboardInterrupt, SystemExit) as error:  # out of a task it would end the loop
            raise RuntimeError(repr(error)) from error
        return pickle.dumps(result, pickle.HIGHEST_PROTOCOL)

    def _ended(self, key: CallKey, ready: ReadyAnswers, task: asyncio.Task[bytes]) -> None:
        was_cancelled = self._running.pop(key, None) is None
        if was_cancelled:
            ready.drop()
            if not task.cancelled():
                task.exception()  # marks it as retrieved
            return
        ready.put(key[1], _outcome(task))

    def _cancel(self, keys: list[CallKey]) -> None:
        for key in keys:
            if (task := self._running.pop(key, None)) is not None:
                task.cancel()


class ReadyAnswers:
    """The outcomes of one list that have not been sent. ``expected`` counts those still to send."""

    def __init__(self) -> None:
        self.expected = 0
        self._ready: deque[tuple[int, CallOutcome]] = deque()
        self._changed = asyncio.Event()

    def put(self, number: int, outcome: CallOutcome) -> None:
        self._ready.append((number, outcome))
        self._changed.set()

    def drop(self) -> None:
        """A call will have no outcome."""
        self.expected -= 1
        self._changed.set()

    async def take(self) -> JoinedAnswers:
        """Wait for an outcome, and take all that are ready and share a message. Empty when no more
        come."""
        while not self._ready and self.expected:
            self._changed.clear()
            await self._changed.wait()
        taken: JoinedAnswers = []
        nbytes = 0
        while self._ready:
            size = _nbytes(self._ready[0][1])
            if taken and nbytes + size > MAX_ITEM_BYTES:
                break
            nbytes += size
            taken.append(self._ready.popleft())
        self.expected -= len(taken)
        return taken


def _outcome(task: asyncio.Task[bytes]) -> CallOutcome:
    if task.cancelled():
        return CallFailed("CancelledError")
    error = task.exception()
    if error is None:
        return task.result()
    logger.error("a call failed", exc_info=error)
    return CallFailed(repr(error))


def _nbytes(outcome: CallOutcome) -> int:
    return len(outcome) if isinstance(outcome, bytes) else 0
