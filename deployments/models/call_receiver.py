"""Receives the ingress' calls in a replica, and keeps the context of each while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from contextvars import ContextVar
from functools import partial, update_wrapper
from inspect import getmembers, isasyncgenfunction, iscoroutinefunction, isfunction
from math import isfinite
from typing import Any, TypeAlias, TypeVar

from deployments.metrics.call_spans import CallSpan
from deployments.metrics.stage_recorder import StageRecorder, record_here, recorded
from deployments.models.fair_shares import NOBODY, Owner
from deployments.models.process_end import end_of_process, interpreter_ends
from deployments.seam.call_context import ContextualCall
from deployments.seam.problems import Problem
from deployments.seam.timings import TimedResult

F = TypeVar("F", bound=Callable[..., Any])

Answering: TypeAlias = Callable[[Any], Awaitable[Any]]
"""A method that answers a request."""

Streaming: TypeAlias = Callable[[Any], AsyncGenerator[Any, None]]
"""A method that answers a request by a stream."""

LATE = Problem("timeout", "The answer was not complete within the time that the request allows.")


_owner_here: ContextVar[Owner] = ContextVar("owner", default=NOBODY)


def owner_here() -> Owner:
    """Whom the call belongs to that runs here, in its task and the tasks that this started."""
    return _owner_here.get()


def enter_context(call: ContextualCall) -> None:
    """Take the context of a call. Every call has a task of its own, so nothing is put back."""
    context = call.context
    _owner_here.set(Owner(context.tenant, context.share, context.weight))


class _NoSpan:
    """In the place of a span, of a call that is timed and not traced."""

    def answered(self, item: object) -> None: ...


def _span(
    call: ContextualCall, name: str, recorder: StageRecorder
) -> AbstractContextManager[CallSpan | _NoSpan]:
    return CallSpan(call, name, recorder) if call.context.traceparent else nullcontext(_NoSpan())


class CallReceiver:
    """The base of deployments that are called in the context of a request.

    Each public ``async`` method of a subclass, also one that streams, takes its request or a
    :class:`ContextualCall` with it. So Serve calls methods by their own names, and its logs and
    traces have these. The method itself gets the request, and runs in the call's context.

    At its deadline a call is cancelled, and leaves every queue, even if the ingress that would
    cancel it is late or gone. A stream is ended by the ingress, or with its connection.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        receivers = [base for base in cls.__bases__ if issubclass(base, CallReceiver)]
        for name, method in getmembers(cls, isfunction):
            if any(getattr(base, name, None) is method for base in receivers):
                continue  # it receives calls already
            if isasyncgenfunction(method) and not name.startswith("_"):
                setattr(cls, name, _receiving_stream(name, method))
            elif iscoroutinefunction(method) and not name.startswith("_"):
                setattr(cls, name, _receiving(name, method))

    async def _answer_call(self, method: Answering, name: str, call: ContextualCall) -> Any:
        """Answer a call. If it is timed, the answer is a :class:`TimedResult`."""
        if not (call.timed or call.context.traceparent):
            return await method(call.request)
        with recorded() as recorder, _span(call, name, recorder) as span:
            result = await method(call.request)
            span.answered(result)
        return TimedResult(result, recorder.timing()) if call.timed else result

    async def _stream_call(
        self, method: Streaming, name: str, call: ContextualCall
    ) -> AsyncGenerator[Any, None]:
        """Answer a call by a stream. A timed one is answered by ``timed_{name}``."""
        if call.timed:
            method = getattr(self, f"timed_{name}")
        elif not call.context.traceparent:
            async with aclosing(method(call.request)) as items:
                async for item in items:
                    yield item
            return
        with _span(call, name, record_here()) as span:
            async with aclosing(method(call.request)) as items:
                async for item in items:
                    span.answered(item)
                    yield item


def _receiving(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """``method``, which takes its request or a call with it."""

    async def receive(self: CallReceiver, *args: Any, **kwargs: Any) -> Any:
        if not (args and isinstance(args[0], ContextualCall)):
            return await method(self, *args, **kwargs)
        (call,) = args
        enter_context(call)
        seconds_left = call.context.seconds_left
        if seconds_left <= 0:
            return LATE
        try:
            async with asyncio.timeout(seconds_left if isfinite(seconds_left) else None) as timer:
                return await self._answer_call(partial(method, self), name, call)
        except TimeoutError:
            if not timer.expired():
                raise
            return LATE
        except Exception:
            if interpreter_ends():
                await end_of_process()
            raise

    return _named(receive, method)


def _receiving_stream(
    name: str, method: Callable[..., AsyncGenerator[Any, None]]
) -> Callable[..., AsyncGenerator[Any, None]]:
    """As :func:`_receiving`, of a method that streams."""

    async def receive(self: CallReceiver, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        if not (args and isinstance(args[0], ContextualCall)):
            async with aclosing(method(self, *args, **kwargs)) as items:
                async for item in items:
                    yield item
            return
        (call,) = args
        enter_context(call)
        if call.context.seconds_left <= 0:
            yield LATE
            return
        try:
            async with aclosing(self._stream_call(partial(method, self), name, call)) as items:
                async for item in items:
                    yield item
        except Exception:
            if interpreter_ends():
                await end_of_process()
            raise

    return _named(receive, method)


def _named(receive: F, method: Callable[..., Any]) -> F:
    """``receive`` with the name and the attributes of ``method``.

    Serve finds what ``@serve.batch`` decorates by ``__wrapped__`` of the outermost function.
    """
    update_wrapper(receive, method)
    vars(receive).update(vars(method))
    return receive
