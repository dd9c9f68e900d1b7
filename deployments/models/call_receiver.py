"""Receives the ingress' calls in a replica, and keeps the context of each while it runs."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext
from contextvars import ContextVar
from math import isfinite
from typing import Any, NamedTuple

from deployments.metrics.call_spans import CallSpan
from deployments.metrics.stage_recorder import StageRecorder, record_here, recorded
from deployments.models.process_end import end_of_process, interpreter_ends
from deployments.seam.call_context import ANONYMOUS, ContextualCall
from deployments.seam.problems import Problem
from deployments.seam.timings import TimedResult

LATE = Problem("timeout", "The answer was not complete within the time that the request allows.")


class RunningCall(NamedTuple):
    """The context of a call in its replica, as :class:`CallContext` has it.

    ``deadline`` is of this process's ``time.monotonic``; ``math.inf`` is none.
    """

    tenant: str = ANONYMOUS
    share: str = ""
    weight: float = 1.0
    deadline: float = math.inf


WITHOUT_CONTEXT = RunningCall()

_context_here: ContextVar[RunningCall] = ContextVar("call", default=WITHOUT_CONTEXT)


def context_here() -> RunningCall:
    """The context of the call that runs here, in its task and the tasks that this started."""
    return _context_here.get()


def enter_context(call: ContextualCall) -> None:
    """Take the context of a call. Every call has a task of its own, so nothing is put back."""
    tenant, share, weight, seconds_left, _ = call.context
    _context_here.set(RunningCall(tenant, share, weight, time.monotonic() + seconds_left))


class _NoSpan:
    """In the place of a span, of a call that is timed and not traced."""

    def answered(self, item: object) -> None: ...


def _span(
    call: ContextualCall, recorder: StageRecorder
) -> AbstractContextManager[CallSpan | _NoSpan]:
    return CallSpan(call, recorder) if call.context.traceparent else nullcontext(_NoSpan())


class CallReceiver:
    """The methods of a deployment that answer calls with a context, by its other methods.

    At its deadline a call is cancelled, and leaves every queue, even if the ingress that would
    cancel it is late or gone. A stream is ended by the ingress, or with its connection.
    """

    async def call(self, call: ContextualCall) -> Any:
        """Answer a call. If it is timed, the answer is a :class:`TimedResult`."""
        enter_context(call)
        seconds_left = call.context.seconds_left
        if seconds_left <= 0:
            return LATE
        try:
            async with asyncio.timeout(seconds_left if isfinite(seconds_left) else None) as timer:
                return await self._answered(call)
        except TimeoutError:
            if not timer.expired():
                raise
            return LATE
        except Exception:
            if interpreter_ends():
                await end_of_process()
            raise

    async def _answered(self, call: ContextualCall) -> Any:
        method = getattr(self, call.method)
        if not (call.timed or call.context.traceparent):
            return await method(call.request)
        with recorded() as recorder, _span(call, recorder) as span:
            result = await method(call.request)
            span.answered(result)
        return TimedResult(result, recorder.timing()) if call.timed else result

    async def call_stream(self, call: ContextualCall) -> AsyncGenerator[Any, None]:
        """Answer a call by a stream. The stream of a timed one tells its timing."""
        enter_context(call)
        if call.context.seconds_left <= 0:
            yield LATE
            return
        try:
            async with aclosing(self._items(call)) as items:
                async for item in items:
                    yield item
        except Exception:
            if interpreter_ends():
                await end_of_process()
            raise

    async def _items(self, call: ContextualCall) -> AsyncGenerator[Any, None]:
        if not (call.timed or call.context.traceparent):
            async with aclosing(getattr(self, call.method)(call.request)) as items:
                async for item in items:
                    yield item
            return
        method = getattr(self, f"timed_{call.method}" if call.timed else call.method)
        with _span(call, record_here()) as span:
            async with aclosing(method(call.request)) as items:
                async for item in items:
                    span.answered(item)
                    yield item
