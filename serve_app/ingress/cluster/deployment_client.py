"""The only place that awaits a deployment handle: deadlines, cancellation, retries."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from ray.serve.exceptions import DeploymentUnavailableError

from deployments.seam.generation import GenerationRequest, TokenChunk
from deployments.seam.problems import Problem
from serve_app.ingress.cluster.replica_failures import ReplicaLost, meaning, received
from serve_app.ingress.cluster.stream_progress import StreamProgress
from serve_app.ingress.errors import (
    DeadlineExceeded,
    InternalError,
    ServiceError,
    Unavailable,
    from_problem,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 2
"""Every call is idempotent (its seed is fixed at the ingress), so one lost replica is retried."""


PLAIN = {"request_serialization": "pickle", "response_serialization": "pickle"}
"""What crosses the seam can be imported on both sides: ``cloudpickle`` takes three times as long
and gives the same."""


class DeploymentClient:
    """Calls from the ingress to the families.

    ``handles`` maps a family's name to its ``DeploymentHandle``; ``timeout_s`` is the deadline of
    one request, from the call to the last byte of its answer.

    A call that loses its replica goes to another one, but not when it was on it without a sign of
    life for ``stall_timeout_s``: by then the health check ends replicas that do not move, this call
    may be why, and it is not to end the next one.
    """

    def __init__(
        self, handles: Mapping[str, Any], timeout_s: float, stall_timeout_s: float = math.inf
    ) -> None:
        self._handles = {name: handle.options(**PLAIN) for name, handle in handles.items()}
        self._streams = {name: each.options(stream=True) for name, each in self._handles.items()}
        self._methods: dict[tuple[str, str, bool], Any] = {}
        self._timeout_s = timeout_s
        self._stall_timeout_s = stall_timeout_s

    def _method(self, family: str, method: str, *, stream: bool = False) -> Any:
        """A handle's method, looked up once: Serve makes a new handle of every look."""
        key = (family, method, stream)
        if key not in self._methods:
            handles = self._streams if stream else self._handles
            self._methods[key] = getattr(handles[family], method)
        return self._methods[key]

    async def call(
        self,
        family: str,
        method: str,
        request: Any,
        fields: Mapping[str, str] | None = None,
        *,
        within_s: float | None = None,
    ) -> Any:
        """The answer of one call. Raises a :class:`ServiceError` for everything else.

        A problem that the model side reports for the whole request is raised too; ``fields`` names
        the seam's fields as the route calls them. ``within_s`` takes the place of the usual
        deadline.
        """
        tries = Tries(self._timeout_s if within_s is None else within_s, self._stall_timeout_s)
        while True:
            tries.begin()
            try:
                answer = await tries.within(self._once(family, method, request))
            except ReplicaLost:
                tries.another()
                continue
            if isinstance(answer, Problem):
                raise from_problem(answer, fields)
            return answer

    async def _once(self, family: str, method: str, request: Any) -> Any:
        response = self._method(family, method).remote(request)
        try:
            return await received(response)
        except asyncio.CancelledError:
            response.cancel()
            raise

    async def open_stream(
        self,
        family: str,
        method: str,
        request: GenerationRequest,
        fields: Mapping[str, str] | None = None,
    ) -> ChunkStream:
        """Start a stream and wait for its first tokens, so that a failure still has a status."""
        tries = Tries(self._timeout_s, self._stall_timeout_s)
        bursts = ChunkStream(self._method(family, method, stream=True), request, tries, fields)
        first = await bursts.start()
        if isinstance(first, Problem):
            bursts.close()
            raise from_problem(first, fields)
        return bursts

    async def broadcast(
        self, family: str, method: str, request: Any, within_s: float
    ) -> list[Any | ServiceError]:
        """What every running replica of a family answered, or why it did not within ``within_s``.

        None is woken: of a family that has no replica the list is empty. Never for what a client
        may ask often, since Serve's bounds on queues do not count here.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        answers = self._handles[family].broadcast(method, request)
        late = f"The replicas of {family} could not be reached in time."
        try:
            # Serve's ``results_async`` loses every answer when one replica is late.
            results = await _by(deadline, answers._fetch_replica_results_async(), late)
        except DeploymentUnavailableError:
            return []
        except ServiceError as error:
            return [error]
        except Exception as error:  # noqa: BLE001  whatever Serve raises while it looks for them
            return [_final(meaning(error))]
        return list(await asyncio.gather(*(_outcome(result, deadline) for result in results)))


async def _outcome(result: Any, deadline: float) -> Any | ServiceError:
    """One replica's answer. A failure is returned: it must not hide what the others say."""
    try:
        return await _by(deadline, received(result.get_async()))
    except (ServiceError, ReplicaLost) as error:
        result.cancel()
        return _final(error)
    except asyncio.CancelledError:
        result.cancel()
        raise


def _final(error: ServiceError | ReplicaLost) -> ServiceError:
    return _lost() if isinstance(error, ReplicaLost) else error


def _lost() -> Unavailable:
    return Unavailable("The model's replica was lost while it worked.")


async def _by(
    deadline: float,
    answer: Awaitable[T],
    late: str = "The answer took longer than this server's deadline.",
) -> T:
    """The ``answer``, or :class:`DeadlineExceeded` when that passes first."""
    try:
        async with asyncio.timeout_at(deadline) as timer:
            return await answer
    except TimeoutError:
        if not timer.expired():
            raise
        raise DeadlineExceeded(late) from None


class Tries:
    """How often and for how long a call is tried, all tries together within one deadline."""

    def __init__(self, timeout_s: float, stall_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._left = ATTEMPTS
        self._since = self._loop.time()

    def begin(self) -> None:
        """A try begins, or goes on behind an item that has come."""
        self._since = self._loop.time()

    def renew(self) -> None:
        """The replica has shown that it is well: the next one to be lost is the first."""
        self._left = ATTEMPTS

    def another(self) -> None:
        """The replica was lost: raises :class:`Unavailable` unless another one is to be tried."""
        self._left -= 1
        if self._left == 0 or self._loop.time() - self._since > self._stall_timeout_s:
            raise _lost() from None

    async def within(self, answer: Awaitable[T]) -> T:
        """The ``answer``. Raises :class:`DeadlineExceeded`."""
        return await _by(self._deadline, answer)


class ChunkStream:
    """A stream of bursts. Closing it, or cancelling its reader, stops the generation.

    When the replica is lost, another one goes on behind the tokens that have come. ``watch`` is
    told of every burst on its way to the reader. ``fields`` names the seam's fields as the route
    calls them.
    """

    def __init__(
        self,
        method: Any,
        request: GenerationRequest,
        tries: Tries,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self._method = method
        self._tries = tries
        self._fields = fields
        self._progress = StreamProgress(request)
        self._response = method.remote(request)
        self._first: TokenChunk | None = None
        self.watch: Callable[[TokenChunk], None] | None = None

    async def start(self) -> TokenChunk | Problem:
        """The first item. Raises :class:`ServiceError` when there is none."""
        first = await self._next()
        if first is None:
            raise InternalError
        if isinstance(first, TokenChunk):
            self._first = first
        return first

    async def __aiter__(self) -> AsyncIterator[TokenChunk]:
        """Every burst, the first included. Raises :class:`ServiceError` when the stream breaks."""
        item: TokenChunk | Problem | None = self._first
        try:
            while item is not None:
                if isinstance(item, Problem):
                    raise from_problem(item, self._fields)
                if self.watch is not None:
                    self.watch(item)
                yield item
                item = await self._next()
        finally:
            self.close()

    def close(self) -> None:
        """Stop the generation on its replica, within one decode step; a no-op once it ended."""
        self._response.cancel()

    async def _next(self) -> TokenChunk | Problem | None:
        """The next item, ``None`` at the end, from another replica when this one is lost."""
        while not self._progress.complete:
            self._tries.begin()
            try:
                item = await self._tries.within(self._once())
            except ReplicaLost:
                self._tries.another()
                self._response = self._method.remote(self._progress.remaining())
                continue
            except (DeadlineExceeded, asyncio.CancelledError):
                self.close()
                raise
            if isinstance(item, TokenChunk):
                self._progress.note(item)
            self._tries.renew()
            return item
        return None

    async def _once(self) -> TokenChunk | Problem:
        item: TokenChunk | Problem | None = await received(anext(self._response, None))
        if item is None:
            logger.error("a stream ended before its last token")
            raise InternalError
        return item
