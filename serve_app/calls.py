"""The only place that awaits a deployment handle: deadlines, cancellation, Ray's errors as ours."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayActorError, RayError, TaskCancelledError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
    RequestCancelledError,
)

from deployments.seam import Burst, GenerationRequest, Problem
from serve_app.errors import (
    DeadlineExceeded,
    InternalError,
    ServiceError,
    TooManyRequests,
    Unavailable,
    from_problem,
)
from serve_app.resume import Progress

logger = logging.getLogger(__name__)

ATTEMPTS = 2
"""Every call is idempotent (its seed is fixed at the ingress), so one lost replica is retried."""


PLAIN = {"request_serialization": "pickle", "response_serialization": "pickle"}
"""What crosses the seam can be imported on both sides: ``cloudpickle`` takes three times as long
and gives the same."""


class Calls:
    """Calls from the ingress to the families.

    ``handles`` maps a family's name to its ``DeploymentHandle``; ``timeout_s`` is the deadline of
    one request, from the call to the last byte of its answer.
    """

    def __init__(self, handles: Mapping[str, Any], timeout_s: float) -> None:
        self._handles = {name: handle.options(**PLAIN) for name, handle in handles.items()}
        self._streams = {name: each.options(stream=True) for name, each in self._handles.items()}
        self._methods: dict[tuple[str, str, bool], Any] = {}
        self._timeout_s = timeout_s

    def _method(self, family: str, method: str, *, stream: bool = False) -> Any:
        """A handle's method, looked up once: Serve makes a new handle of every look."""
        key = (family, method, stream)
        if key not in self._methods:
            handles = self._streams if stream else self._handles
            self._methods[key] = getattr(handles[family], method)
        return self._methods[key]

    async def ask(
        self, family: str, method: str, request: Any, fields: Mapping[str, str] | None = None
    ) -> Any:
        """The answer of one call. Raises a :class:`ServiceError` for everything else.

        A problem that the model side reports for the whole request is raised too; ``fields`` names
        the seam's fields as the route calls them.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        for attempt in range(ATTEMPTS):
            with _translated(last=attempt == ATTEMPTS - 1):
                async with asyncio.timeout_at(deadline):
                    answer = await self._once(family, method, request)
                if isinstance(answer, Problem):
                    raise from_problem(answer, fields)
                return answer
        raise Unavailable("The model is restarting.")

    async def _once(self, family: str, method: str, request: Any) -> Any:
        response = self._method(family, method).remote(request)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise

    async def open(
        self,
        family: str,
        method: str,
        request: GenerationRequest,
        fields: Mapping[str, str] | None = None,
    ) -> Bursts:
        """Start a stream and wait for its first tokens, so that a failure still has a status."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        bursts = Bursts(self._method(family, method, stream=True), request, deadline, fields)
        first = await bursts.start()
        if isinstance(first, Problem):
            bursts.close()
            raise from_problem(first, fields)
        return bursts

    async def everywhere(
        self, family: str, method: str, request: Any, within_s: float
    ) -> list[Any | ServiceError]:
        """What every running replica of a family answered, or why it did not within ``within_s``.

        None is woken: of a family that has no replica the list is empty. Never for what a client
        may ask often, since Serve's bounds on queues do not count here.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        broadcast = self._handles[family].broadcast(method, request)
        try:
            async with asyncio.timeout_at(deadline):
                # Serve's ``results_async`` loses every answer when one replica is late.
                results = await broadcast._fetch_replica_results_async()
        except DeploymentUnavailableError:
            return []
        except TimeoutError:
            return [DeadlineExceeded(f"The replicas of {family} could not be reached in time.")]
        return list(await asyncio.gather(*(_outcome(result, deadline) for result in results)))


async def _outcome(result: Any, deadline: float) -> Any | ServiceError:
    """One replica's answer. A failure is returned: it must not hide what the others say."""
    try:
        with _translated(last=True):
            async with asyncio.timeout_at(deadline):
                return await result.get_async()
    except ServiceError as error:
        result.cancel()
        return error
    except Exception as error:  # noqa: BLE001
        # Not only Ray's: over gRPC Serve pickles what the replica raised, of whatever class, and
        # raises just that here (``gRPCReplicaResult``); what gRPC itself raises comes as it is too.
        return _unforeseen(error)
    except asyncio.CancelledError:
        result.cancel()
        raise


class Bursts:
    """A stream of bursts. Closing it, or cancelling its reader, stops the generation.

    When the replica is lost, another one goes on behind the tokens that have come. ``watch`` is
    told of every burst on its way to the reader. ``fields`` names the seam's fields as the route
    calls them.
    """

    def __init__(
        self,
        method: Any,
        request: GenerationRequest,
        deadline: float,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self._method = method
        self._deadline = deadline
        self._fields = fields
        self._progress = Progress(request)
        self._response = method.remote(request)
        self._attempts = ATTEMPTS
        self._first: Burst | None = None
        self.watch: Callable[[Burst], None] | None = None

    async def start(self) -> Burst | Problem:
        """The first item. Raises :class:`ServiceError` when there is none."""
        first = await self._next()
        if first is None:
            raise InternalError
        if isinstance(first, Burst):
            self._first = first
        return first

    async def __aiter__(self) -> AsyncIterator[Burst]:
        """Every burst, the first included. Raises :class:`ServiceError` when the stream breaks."""
        item: Burst | Problem | None = self._first
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

    async def _next(self) -> Burst | Problem | None:
        """The next item, ``None`` at the end, from another replica when this one is lost."""
        while not self._progress.complete:
            self._attempts -= 1
            with _translated(last=self._attempts == 0):
                item = await self._once()
                if isinstance(item, Burst):
                    self._progress.note(item)
                self._attempts = ATTEMPTS
                return item
            self._response = self._method.remote(self._progress.remaining())
        return None

    async def _once(self) -> Burst | Problem:
        try:
            async with asyncio.timeout_at(self._deadline):
                item: Burst | Problem = await anext(self._response)
        except StopAsyncIteration:
            logger.error("a stream ended before its last token")  # noqa: TRY400 - no trace to show
            raise InternalError from None
        except (TimeoutError, asyncio.CancelledError):
            self.close()
            raise
        return item


@contextmanager
def _translated(*, last: bool) -> Iterator[None]:
    """Ray's failures as ours. A lost replica is swallowed unless this is the ``last`` attempt."""
    try:
        yield
    except TimeoutError as error:
        if isinstance(error, RayError):  # the family's own code raised it: not our deadline
            raise _unforeseen(error) from None
        raise DeadlineExceeded("The answer took longer than this server's deadline.") from None
    except BackPressureError as error:
        wait = math.ceil(error.retry_after_s or 1)
        raise TooManyRequests("Too many requests are waiting for this model.", wait) from None
    except (DeploymentUnavailableError, ReplicaUnavailableError):
        raise Unavailable("The model is not available right now.") from None
    except (RequestCancelledError, TaskCancelledError):
        raise Unavailable("The request was cancelled by the server.") from None
    except RayActorError:
        if last:
            raise Unavailable("The model's replica was lost while it worked.") from None
    except (RayError, RayServeException) as error:
        raise _unforeseen(error) from None


def _unforeseen(error: Exception) -> InternalError:
    logger.error("the model side failed", exc_info=error)
    return InternalError()
