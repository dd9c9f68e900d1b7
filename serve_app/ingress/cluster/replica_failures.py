"""Translates the failures of calls to replicas into errors for clients.

- This task was cancelled, because the client left or our deadline passed: the cancellation goes on.
- The replica raised an exception of any class: an internal error. Its ``TimeoutError`` is not our
  deadline, and its ``HTTPException`` is not an answer to our client.
- Serve refused or cancelled the call: 429 or 503.
- The replica ended, or cut the call off: :class:`ReplicaLost`, and the call may be tried again.

Replicas talk over gRPC. Serve pickles any exception of a replica and raises the same on this side.
A lost connection is an ``ActorUnavailableError``. A call that the other side cancelled is gRPC's
own error or, in a stream, a ``CancelledError``.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable
from traceback import walk_tb
from typing import TypeVar

import grpc
from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
    RequestCancelledError,
)

from serve_app.ingress.errors import InternalError, ServiceError, TooManyRequests, Unavailable

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

T = TypeVar("T")

SERVER_ENDED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
"""How gRPC ends the calls of a server that dies or shuts down."""

UNPICKLING_FUNCTION = "deserialize_or_raise_error"
"""The function of ``ray.serve._private.replica_result`` that raises what a replica raised."""


class ReplicaLost(Exception):
    """The replica ended, or cut the call off, before it had answered."""


async def result_of(answer: Awaitable[T]) -> T:
    """The ``answer`` of a replica, awaited.

    Raises only :class:`ServiceError`, :class:`ReplicaLost`, and ``CancelledError`` where this task
    was cancelled. So a ``TimeoutError`` around it is always the caller's own.
    """
    task = asyncio.current_task()
    cancels = task.cancelling() if task else 0
    try:
        return await answer
    except asyncio.CancelledError as error:
        if task and task.cancelling() > cancels:
            raise
        raise translated(error) from None
    except BaseException as error:
        if not isinstance(error, Exception) and not _raised_by_replica(error):
            raise  # KeyboardInterrupt or SystemExit of this process
        raise translated(error) from None


def translated(error: BaseException) -> ServiceError | ReplicaLost:
    """The error for a failure that is not the cancellation of this task."""
    if _raised_by_replica(error):
        return _internal(error)
    match error:
        case ServiceError():
            return error
        case BackPressureError():
            wait = math.ceil(error.retry_after_s or 1)
            return TooManyRequests("Too many requests are waiting for this model.", wait)
        case DeploymentUnavailableError() | ReplicaUnavailableError():
            return Unavailable("The model is not available right now.")
        case RequestCancelledError() | TaskCancelledError():
            return Unavailable("The request was cancelled by the server.")
        case RayActorError() | asyncio.CancelledError():
            return ReplicaLost()
        case grpc.aio.AioRpcError() if error.code() in SERVER_ENDED:
            return ReplicaLost()
    return _internal(error)


def _raised_by_replica(error: BaseException) -> bool:
    if isinstance(error, RayTaskError):
        return True
    # A handle replaces the CancelledError that it received by a new one.
    replaced = error.__context__ if isinstance(error, asyncio.CancelledError) else None
    return _was_unpickled(error) or (replaced is not None and _was_unpickled(replaced))


def _was_unpickled(error: BaseException) -> bool:
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(frame.f_code.co_name == UNPICKLING_FUNCTION for frame in frames)


def _internal(error: BaseException) -> InternalError:
    logger.error("the model side failed", exc_info=error)
    return InternalError()
