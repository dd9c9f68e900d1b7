"""The attempts of one call: all within one deadline, and another one only for a lost replica."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from serve_app.ingress.cluster.family_watch import FamilyWatch
from serve_app.ingress.deadline import LATE
from serve_app.ingress.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")

MAX_ATTEMPTS = 2
"""A call is retried once if its replica is lost. It is idempotent: the ingress fixes its seed."""

MAX_REPLICAS = 4
"""A stream that gets on may lose more replicas, but not every replica that it can reach: it may
itself be what ends them, each a few tokens later."""

MAX_STALLS = 1
"""Replicas that may hang under a stream that gets on."""


class Attempts:
    """Counts the attempts of one call, and bounds the time of all of them together.

    A call is not tried again when its replica gave no sign of life for ``stall_timeout_s``. By then
    the health check ends replicas that hang; this call may be why, and must not end another one. A
    stream that got on until then is continued once: it is rarely the reason, and those beside it
    never are.
    """

    def __init__(
        self, timeout_s: float, stall_timeout_s: float, watch: FamilyWatch | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._watch = watch
        self._left = MAX_ATTEMPTS
        self._replicas_left = MAX_REPLICAS
        self._stalls = 0
        self._max_stalls = 0
        self._began = self._loop.time()

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._deadline - self._loop.time())

    def begin(self) -> None:
        """Start an attempt, or the wait for a stream's next item."""
        self._began = self._loop.time()

    def reset(self) -> None:
        """Allow a retry again, since the replica has just sent a part of the answer."""
        self._left = MAX_ATTEMPTS
        self._max_stalls = MAX_STALLS

    def retry(self) -> None:
        """Use up an attempt, because the replica was lost.

        Raises :class:`Unavailable` when no attempt is left, or the replica had stalled and the call
        may not be tried again after that.
        """
        self._left -= 1
        self._replicas_left -= 1
        self._stalls += self._loop.time() - self._began > self._stall_timeout_s
        if self._stalls > self._max_stalls or not (self._left and self._replicas_left):
            raise replica_lost() from None

    def check(self) -> None:
        """Raises :class:`DeadlineExceeded` behind the deadline, so that no call is made."""
        if self.seconds_left <= 0:
            raise DeadlineExceeded(LATE)

    async def wait(self, answer: Awaitable[T]) -> T:
        """The ``answer``. Raises :class:`DeadlineExceeded` at the call's deadline, and
        :class:`Unavailable` when the family cannot be started."""
        return await wait_until(self._deadline, self._watch.wait(answer) if self._watch else answer)


def replica_lost() -> Unavailable:
    return Unavailable("The model's replica was lost while it worked.")


async def wait_until(
    deadline: float,
    answer: Awaitable[T],
    message: str = LATE,
) -> T:
    """The ``answer``, or :class:`DeadlineExceeded` with ``message`` at the ``deadline``."""
    try:
        async with asyncio.timeout_at(deadline) as timer:
            return await answer
    except TimeoutError:
        if not timer.expired():
            raise
        raise DeadlineExceeded(message) from None
