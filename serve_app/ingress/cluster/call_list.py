"""A list of calls on its way: one streaming call of a handle, which answers them one by one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Protocol, TypeAlias

from deployments.seam.joined_calls import CallFailed, JoinedAnswers, NoRoom
from serve_app.ingress.cluster.handle_router import HandleRouter, RunningCount
from serve_app.ingress.cluster.replica_failures import ReplicaLost, result_of
from serve_app.ingress.errors import InternalError, ServiceError

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

CallAnswer: TypeAlias = bytes | ServiceError | ReplicaLost
"""The pickled result of a call, or its error. Errors are values here: of a future's exception that
nobody awaits any more, asyncio would complain."""


class WaitingCall:
    """One call: its pickled request, its ``answer``, and the context of its caller.

    ``is_queued`` until a replica has accepted it.
    """

    __slots__ = ("answer", "context", "is_queued", "number", "request")

    def __init__(self, number: int, request: bytes) -> None:
        self.number = number
        self.request = request
        self.context: Context = copy_context()
        self.answer: asyncio.Future[CallAnswer] = asyncio.get_running_loop().create_future()
        self.is_queued = True


class ListOwner(Protocol):
    """Is told what becomes of a list."""

    def accepted(self, sent: CallList, calls: Sequence[WaitingCall]) -> None:
        """A replica has the calls, or they have failed: the next list may leave."""
        ...

    def refused(self, calls: Sequence[WaitingCall]) -> None:
        """The replica had no room for these; they have not started."""
        ...

    def cancelled(self, number: int) -> None:
        """Nobody waits for this call any more, but the replica still works on it."""
        ...


class CallList:
    """Calls that travel together. ``send`` starts the streaming call and returns its response.

    If the replica is lost, that is the answer of each call that has none.
    """

    def __init__(
        self,
        calls: Sequence[WaitingCall],
        send: Callable[[], Any],
        router: HandleRouter,
        owner: ListOwner,
    ) -> None:
        self._calls = {call.number: call for call in calls}
        self._send = send
        self._router = router
        self._owner = owner
        self._response: Any = None
        self._count: RunningCount | None = None
        self.task: asyncio.Task[None] | None = None  # that of :meth:`run`
        for call in calls:
            call.answer.add_done_callback(partial(self._left, call))

    async def run(self) -> None:
        """Send the list and read its answers to their end."""
        calls = list(self._calls.values())
        error: ServiceError | ReplicaLost = InternalError()
        try:
            self._response = self._send()
            await self._read(calls)
            if not self._calls:
                return
            logger.error("a list of calls ended before its last answer")
        except (ServiceError, ReplicaLost) as failure:
            error = failure
        except asyncio.CancelledError:  # nobody waits for any of the calls
            if self._response is not None:
                self._response.cancel()
            raise
        finally:
            for call in list(self._calls.values()):
                self._settle(call, error)
            if self._count is None:
                self._owner.accepted(self, calls)

    async def _read(self, calls: Sequence[WaitingCall]) -> None:
        accepted = await result_of(self._response._fetch_future_result_async())
        self._count = self._router.running(accepted)
        self._recount()
        self._owner.accepted(self, calls)
        for call in calls:
            if call.answer.cancelled():  # before there was a replica to be told
                self._owner.cancelled(call.number)
        while (answers := await result_of(anext(self._response, None))) is not None:
            self._take(answers)

    def _take(self, answers: JoinedAnswers) -> None:
        refused = []
        for number, outcome in answers:
            call = self._calls.get(number)
            if call is None:  # its caller left
                continue
            if isinstance(outcome, NoRoom):
                refused.append(self._calls.pop(number))
            else:
                self._settle(call, _answer_of(outcome))
        self._recount()
        if refused:
            self._owner.refused(refused)

    def _settle(self, call: WaitingCall, answer: CallAnswer) -> None:
        del self._calls[call.number]
        if not call.answer.done():
            call.answer.set_result(answer)

    def _left(self, call: WaitingCall, answer: asyncio.Future[CallAnswer]) -> None:
        if not answer.cancelled() or self._calls.pop(call.number, None) is None:
            return
        self._recount()
        if not self._calls and self.task is not None:
            self.task.cancel()
        elif self._count is not None:
            self._owner.cancelled(call.number)

    def _recount(self) -> None:
        """Serve counts the list as one request; count its other calls too."""
        if self._count is not None:
            self._count.set(max(0, len(self._calls) - 1))


def _answer_of(outcome: bytes | CallFailed) -> CallAnswer:
    if isinstance(outcome, CallFailed):
        logger.error("the model side failed: %s", outcome.reason)
        return InternalError()
    return outcome
