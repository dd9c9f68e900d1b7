"""What it means when a call to a replica fails: one rule for calls, streams and broadcasts.

- Our own task was cancelled, because the client left or our deadline passed: that goes on.
- The replica raised it, of whatever class: an internal error. Its ``TimeoutError`` is no deadline
  of ours, and its ``HTTPException`` no answer to our client.
- Serve refused the call, or cancelled it: 429 or 503.
- The replica ended, or cut the call off: :class:`ReplicaLost`, and another one may be asked.

Between replicas Serve speaks gRPC here. It pickles what a replica raised, of whatever class, and
raises just that on this side; a lost connection is an ``ActorUnavailableError``, and a call that
the other side cancelled either gRPC's own error or, in a stream, a ``CancelledError``.
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

logger = logging.getLogger(__name__)

T = TypeVar("T")

CUT_OFF = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
"""How gRPC ends the calls of a server that dies or shuts down."""

UNPICKLED_BY = "deserialize_or_raise_error"
"""The function of ``ray.serve._private.replica_result`` that raises what a replica raised."""


class ReplicaLost(Exception):
    """The replica ended, or cut the call off, before it had answered."""


async def received(answer: Awaitable[T]) -> T:
    """The ``answer`` of a replica.

    Raises a :class:`ServiceError`, :class:`ReplicaLost`, or ``CancelledError`` where this task was
    cancelled, and nothing else: a ``TimeoutError`` around it is the caller's own.
    """
    task = asyncio.current_task()
    cancels = task.cancelling() if task else 0
    try:
        return await answer
    except asyncio.CancelledError as error:
        if task and task.cancelling() > cancels:
            raise
        raise meaning(error) from None
    except BaseException as error:
        if not isinstance(error, Exception) and not _raised_by_replica(error):
            raise  # this process is told to end
        raise meaning(error) from None


def meaning(error: BaseException) -> ServiceError | ReplicaLost:
    """A failure that is not our own cancellation, as ours."""
    if _raised_by_replica(error):
        return _unforeseen(error)
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
        case grpc.aio.AioRpcError() if error.code() in CUT_OFF:
            return ReplicaLost()
    return _unforeseen(error)


def _raised_by_replica(error: BaseException) -> bool:
    if isinstance(error, RayTaskError):
        return True
    # A handle raises another CancelledError in the place of the one that it got.
    kept = error.__context__ if isinstance(error, asyncio.CancelledError) else None
    return _was_unpickled(error) or (kept is not None and _was_unpickled(kept))


def _was_unpickled(error: BaseException) -> bool:
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(frame.f_code.co_name == UNPICKLED_BY for frame in frames)


def _unforeseen(error: BaseException) -> InternalError:
    logger.error("the model side failed", exc_info=error)
    return InternalError()
