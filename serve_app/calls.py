"""The only place that awaits a deployment handle: deadlines, cancellation, Ray's errors as ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
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

from deployments.seam import Burst, Problem
from serve_app.errors import (
    DeadlineExceeded,
    InternalError,
    TooManyRequests,
    Unavailable,
    from_problem,
)

logger = logging.getLogger(__name__)

ATTEMPTS = 2
"""Every call is idempotent (its seed is fixed at the ingress), so one lost replica is retried."""


class Calls:
    """Calls from the ingress to the families.

    ``handles`` maps a family's name to its ``DeploymentHandle``; ``timeout_s`` is the deadline of
    one request, from the call to the last byte of its answer.
    """

    def __init__(self, handles: Mapping[str, Any], timeout_s: float) -> None:
        self._handles = handles
        self._streams = {name: handle.options(stream=True) for name, handle in handles.items()}
        self._timeout_s = timeout_s

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
        response = getattr(self._handles[family], method).remote(request)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise

    async def open(
        self, family: str, method: str, request: Any, fields: Mapping[str, str] | None = None
    ) -> Bursts:
        """Start a stream and wait for its first tokens, so that a failure still has a status."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        for attempt in range(ATTEMPTS):
            with _translated(last=attempt == ATTEMPTS - 1):
                response = getattr(self._streams[family], method).remote(request)
                bursts = Bursts(response, deadline)
                first = await bursts.start()
                if isinstance(first, Problem):
                    bursts.close()
                    raise from_problem(first, fields)
                return bursts
        raise Unavailable("The model is restarting.")


class Bursts:
    """An open stream of bursts. Closing it, or cancelling its reader, stops the generation."""

    def __init__(self, response: Any, deadline: float) -> None:
        self._response = response
        self._deadline = deadline
        self._first: Burst | None = None

    async def start(self) -> Burst | Problem:
        try:
            async with asyncio.timeout_at(self._deadline):
                first = await anext(self._response)
        except (TimeoutError, asyncio.CancelledError):
            self.close()
            raise
        if isinstance(first, Burst):
            self._first = first
        return first  # type: ignore[no-any-return]

    async def __aiter__(self) -> AsyncIterator[Burst]:
        """Every burst, the first included. Raises :class:`ServiceError` when the stream breaks."""
        assert self._first is not None, "the stream has not been started"
        try:
            yield self._first
            with _translated(last=True):
                while True:
                    try:
                        async with asyncio.timeout_at(self._deadline):
                            item = await anext(self._response)
                    except StopAsyncIteration:
                        return
                    if isinstance(item, Problem):
                        raise from_problem(item)
                    yield item
        finally:
            self.close()

    def close(self) -> None:
        """Stop the generation on its replica, within one decode step; a no-op once it ended."""
        self._response.cancel()


@contextmanager
def _translated(*, last: bool) -> Iterator[None]:
    """Ray's failures as ours. A lost replica is swallowed unless this is the ``last`` attempt."""
    try:
        yield
    except TimeoutError:
        raise DeadlineExceeded("The answer took longer than this server's deadline.") from None
    except BackPressureError:
        raise TooManyRequests("Too many requests are waiting for this model.") from None
    except (DeploymentUnavailableError, ReplicaUnavailableError):
        raise Unavailable("The model is not available right now.") from None
    except (RequestCancelledError, TaskCancelledError):
        raise Unavailable("The request was cancelled by the server.") from None
    except RayActorError:
        if last:
            raise Unavailable("The model's replica was lost while it worked.") from None
    except (RayError, RayServeException) as error:
        logger.exception("the model side failed", exc_info=error)
        raise InternalError from None
