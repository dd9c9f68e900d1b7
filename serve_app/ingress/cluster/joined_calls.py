"""Joins the calls of this process to one deployment while the way to its replicas is busy.

A call of a handle costs the same however many requests it carries. So one list of calls at a time
is on its way to a replica; those that come meanwhile leave together as soon as the replica has
accepted it, which does not wait for any answer. A call that finds the way free leaves at once, and
if no other call is in flight, it is an ordinary call of the handle: that is cheaper for one.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from itertools import count
from math import ceil
from typing import Any, TypeAlias
from uuid import uuid4

from ray.serve.exceptions import BackPressureError

from deployments.seam.joined_calls import CancelledCalls, JoinedCalls
from serve_app.ingress.cluster.call_list import CallList, WaitingCall
from serve_app.ingress.cluster.handle_router import HandleRouter
from serve_app.ingress.cluster.replica_failures import translated

MAX_CALLS = 32
MAX_BYTES = 1024 * 1024
"""Bounds of a list. A call with a larger request travels alone."""

FULL_PAUSE_S = 0.05
"""How long calls wait that a replica had no room for."""

CANCEL_TIMEOUT_S = 5.0

CallAlone: TypeAlias = Callable[[str, Any], Awaitable[Any]]
Broadcast: TypeAlias = Callable[[str, Any, float], Awaitable[Any]]


class CallJoiner:
    """The calls to one deployment. Lists are calls of one method for one model.

    ``handle`` is its handle for streams, ``call_alone(method, request)`` an ordinary call.
    ``broadcast(method, request, timeout_s)`` reaches all of its replicas: it tells them of calls
    that were cancelled while others of their list go on.
    """

    def __init__(self, handle: Any, call_alone: CallAlone, broadcast: Broadcast) -> None:
        self._method = handle.call_many
        self._call_alone = call_alone
        self._broadcast = broadcast
        self._numbers = count()
        self._queues: dict[tuple[str, str | None], CallQueue] = {}
        self._cancelled: list[int] = []
        self._cancelling: asyncio.Task[None] | None = None
        self._sender = uuid4().hex
        self.router = HandleRouter(handle)
        self._queued = 0

    @property
    def queued(self) -> int:
        """Calls that no replica has accepted yet. Serve counts none of them by itself."""
        return self._queued

    @queued.setter
    def queued(self, calls: int) -> None:
        self._queued = calls
        self.router.count_waiting(calls)

    async def call(self, method: str, request: Any, *, alone: bool = False) -> Any:
        """The result of one call. If this is cancelled, so is the call, and no other.

        A call that travels ``alone`` leaves at once. Raises :class:`ServiceError`, also when
        ``max_queued_requests`` calls wait for a replica, and :class:`ReplicaLost`.
        """
        queue = self._queue(method, getattr(request, "model", None))
        if alone or not queue.in_flight:
            with queue.counted():
                return await self._call_alone(method, request)
        limit = self.router.max_queued_requests
        if limit is not None and self.queued >= limit:
            raise translated(BackPressureError(self.queued, limit))
        call = WaitingCall(next(self._numbers), pickle.dumps(request, pickle.HIGHEST_PROTOCOL))
        self.queued += 1
        call.answer.add_done_callback(lambda _: self.leave_queue(call))
        with queue.counted():
            queue.add(call)
            answer = await call.answer
        if isinstance(answer, bytes):
            return pickle.loads(answer)  # noqa: S301 - of a replica
        raise answer

    def leave_queue(self, call: WaitingCall) -> None:
        if call.is_queued:
            call.is_queued = False
            self.queued -= 1

    def requeue(self, call: WaitingCall) -> None:
        call.is_queued = True
        self.queued += 1

    def send(self, method: str, model: str | None, calls: Sequence[WaitingCall]) -> Any:
        """Start the streaming call that carries ``calls``."""
        requests = {call.number: call.request for call in calls}
        return self._method.remote(JoinedCalls(self._sender, method, model, requests))

    def cancel(self, number: int) -> None:
        """Tell the replicas. One broadcast at a time is under way: clients that leave cannot cause
        many."""
        self._cancelled.append(number)
        if self._cancelling is None:
            work = self._send_cancelled()
            self._cancelling = asyncio.get_running_loop().create_task(work, context=Context())

    async def _send_cancelled(self) -> None:
        while self._cancelled:
            cancelled = CancelledCalls(self._sender, tuple(self._cancelled))
            self._cancelled.clear()
            await self._broadcast("cancel_calls", cancelled, CANCEL_TIMEOUT_S)
        self._cancelling = None

    def _queue(self, method: str, model: str | None) -> CallQueue:
        key = (method, model)
        if key not in self._queues:
            self._queues[key] = CallQueue(self, method, model)
        return self._queues[key]


class CallQueue:
    """The calls of one method for one model that wait until the way is free."""

    def __init__(self, joiner: CallJoiner, method: str, model: str | None) -> None:
        self._joiner = joiner
        self._method = method
        self._model = model
        self._waiting: deque[WaitingCall] = deque()
        self._on_way: CallList | None = None
        self._due: asyncio.Handle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        """Calls that have no answer yet, those that travel alone included."""

    @contextmanager
    def counted(self) -> Iterator[None]:
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def add(self, call: WaitingCall) -> None:
        self._waiting.append(call)
        self._wake()

    def accepted(self, sent: CallList, calls: Sequence[WaitingCall]) -> None:
        for call in calls:
            self._joiner.leave_queue(call)
        if self._on_way is sent:
            self._on_way = None
            self._wake()

    def refused(self, calls: Sequence[WaitingCall]) -> None:
        self._waiting.extendleft(reversed(calls))
        for call in calls:
            self._joiner.requeue(call)
        if self._due is not None:
            self._due.cancel()
        loop = asyncio.get_running_loop()
        self._due = loop.call_later(FULL_PAUSE_S, self._send, context=Context())

    def cancelled(self, number: int) -> None:
        self._joiner.cancel(number)

    def _wake(self) -> None:
        """Send what waits, a moment later: calls that come in the same turn of the loop join."""
        if self._waiting and self._on_way is None and self._due is None:
            self._due = asyncio.get_running_loop().call_soon(self._send, context=Context())

    def _send(self) -> None:
        self._due = None
        if self._on_way is None and (calls := self._next_list()):
            self._on_way = self._start(calls)

    def _next_list(self) -> list[WaitingCall]:
        """The calls that came first: a share of one replica, within the bounds of a list."""
        for call in [call for call in self._waiting if call.answer.done()]:
            self._waiting.remove(call)
        share = ceil(len(self._waiting) / self._joiner.router.replicas)
        calls: list[WaitingCall] = []
        nbytes = 0
        while self._waiting and len(calls) < min(share, MAX_CALLS):
            call = self._waiting[0]
            nbytes += len(call.request)
            if calls and nbytes > MAX_BYTES:
                break
            calls.append(self._waiting.popleft())
        return calls

    def _start(self, calls: Sequence[WaitingCall]) -> CallList:
        """Send a list. With several callers it runs outside their contexts: Serve cancels what was
        sent in the context of a request whose client leaves."""
        send = partial(self._joiner.send, self._method, self._model, calls)
        started = CallList(calls, send, self._joiner.router, self)
        context = calls[0].context if len(calls) == 1 else Context()
        task = asyncio.get_running_loop().create_task(started.run(), context=context)
        started.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return started
