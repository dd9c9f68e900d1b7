"""Deployment handles without Ray: a family of this process behind Serve's interface.

As with Serve's, a call starts when ``remote`` is called, and goes on until its response is
cancelled: whoever stops waiting for it does not stop it by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Sequence
from contextlib import aclosing
from typing import Any

from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import (
    DeploymentUnavailableError,
    RayServeException,
    RequestCancelledError,
)

from deployments.models.call_receiver import Answering, CallReceiver, Streaming
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.replicas import ModelStatus, ReplicaReport
from deployments.seam.timings import CallTiming, Stage, TimedResult

PATIENCE_S = 30.0
"""How long a test waits for what must happen; only a failing test waits that long."""

TIMING = CallTiming(0.001, (Stage("queue", 0.0, 0.0005), Stage("forward", 0.0005, 0.0005, 5, 2)))
"""What a family tells a request that asks for its timeline."""

FOREVER = object()
"""An answer, or an item of a stream, that never comes."""


async def happens(what: asyncio.Event) -> None:
    """Wait for what a test expects, and fail rather than wait for ever."""
    await asyncio.wait_for(what.wait(), PATIENCE_S)


class Contextual(CallReceiver):
    """Keeps the contexts of calls. A timed one takes ``TIMING``."""

    def __init__(self) -> None:
        self.contexts: list[CallContext] = []

    async def _answer_call(self, method: Answering, name: str, call: ContextualCall) -> Any:
        self.contexts.append(call.context)
        result = await method(call.request)
        return TimedResult(result, TIMING) if call.timed else result

    async def _stream_call(
        self, method: Streaming, name: str, call: ContextualCall
    ) -> AsyncGenerator[Any, None]:
        self.contexts.append(call.context)
        async with aclosing(super()._stream_call(method, name, call)) as items:
            async for item in items:
                yield item


class Family(Contextual):
    """Stands in for a family: keeps what it was asked, and gives the answers it was made with.

    An answer is a value, an exception to raise or ``FOREVER``; that of ``stream`` a list of these.
    """

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self._answers = list(answers)
        self.asked: list[Any] = []
        self.began = asyncio.Event()
        self.stopped = asyncio.Event()
        self.holdings: list[ModelStatus] = []
        self.replica = "replica-1"

    async def loaded_models(self, request: None) -> ReplicaReport:
        return ReplicaReport(self.replica, "node-1", tuple(self.holdings))

    async def generate(self, request: Any) -> Any:
        self.asked.append(request)
        try:
            return await self._given(self._answers.pop(0))
        finally:
            self.stopped.set()

    load_model = unload_model = generate
    classify_image = caption = answer_question = detect = segment = generate
    fill_mask = decide = generate_images = generate
    answer_from_context = text2text = tokenize = detokenize = transcribe = generate
    embed = cluster = classify = zero_shot = rerank = recognise = summarize = generate

    async def timed_stream(self, request: Any) -> AsyncIterator[Any]:
        *earlier, last = [each async for each in self.stream(request)]
        for each in (*earlier, TIMING, last):
            yield each

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        try:
            for item in self._answers.pop(0):
                yield await self._given(item)
        finally:
            self.stopped.set()

    async def _given(self, answer: Any) -> Any:
        self.began.set()
        if isinstance(answer, Exception):
            raise answer
        if answer is FOREVER:
            await asyncio.Event().wait()
        return answer


class LocalHandle:
    """The part of ``DeploymentHandle`` that the ingress uses.

    A broadcast reaches every one of ``replicas``: the family alone, if nothing else is said.
    """

    def __init__(
        self, family: object, *, stream: bool = False, replicas: Sequence[object] | None = None
    ) -> None:
        self._family = family
        self._stream = stream
        self._replicas = [family] if replicas is None else replicas

    def options(self, *, stream: bool = False, **serialization: str) -> LocalHandle:
        return LocalHandle(self._family, stream=stream, replicas=self._replicas)

    def broadcast(self, method: str, request: Any) -> LocalBroadcast:
        return LocalBroadcast([getattr(each, method, _missing) for each in self._replicas], request)

    def __getattr__(self, method: str) -> LocalMethod:
        return LocalMethod(getattr(self._family, method), self._stream)


class LocalMethod:
    def __init__(self, method: Any, stream: bool) -> None:
        self._method = method
        self._stream = stream

    def remote(self, request: Any) -> LocalResponse | LocalStream:
        called = self._method(request)
        return LocalStream(called) if self._stream else LocalResponse(called)


async def _missing(request: Any) -> Any:
    raise RayServeException("Tried to call a method that does not exist.")


class LocalBroadcast:
    """One answer of every replica on its way. Serve refuses when there is none."""

    def __init__(self, methods: Sequence[Any], request: Any) -> None:
        self._methods = methods
        self._request = request

    async def _fetch_replica_results_async(self) -> list[LocalResponse]:
        if not self._methods:
            raise DeploymentUnavailableError(DeploymentID("Family"))
        return [LocalResponse(method(self._request)) for method in self._methods]


class LocalResponse:
    """One answer on its way."""

    def __init__(self, call: Coroutine[Any, Any, Any]) -> None:
        self._task = asyncio.ensure_future(call)

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.shield(self._task).__await__()

    async def get_async(self) -> Any:
        return await self

    def cancel(self) -> None:
        self._task.cancel()


class LocalStream:
    """Items on their way; the family runs ahead of the reader, as a replica does."""

    def __init__(self, items: AsyncIterator[Any]) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._run(items))

    async def _run(self, items: AsyncIterator[Any]) -> None:
        end: BaseException = StopAsyncIteration()
        try:
            async for item in items:
                self._queue.put_nowait(item)
        except asyncio.CancelledError:
            end = RequestCancelledError()
        except Exception as error:  # noqa: BLE001 - it travels to the reader, as in Ray
            end = error
        self._queue.put_nowait(end)

    async def _fetch_future_result_async(self) -> LocalStream:
        """Serve awaits here that a replica has accepted the call."""
        return self

    def __aiter__(self) -> LocalStream:
        return self

    async def __anext__(self) -> Any:
        item = await self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def cancel(self) -> None:
        self._task.cancel()
