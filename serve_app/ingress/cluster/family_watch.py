"""Ends the wait for a family whose replicas cannot be started, long before the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from serve_app.ingress.errors import Unavailable

T = TypeVar("T")

CHECK_S = 1.0
RETRY_AFTER_S = 10
"""Serve starts the replicas again, with pauses that grow to a minute."""

WhyNot: TypeAlias = Callable[[str], Awaitable[str | None]]
"""Why the deployment of a family cannot be started, by the family's name; ``None`` if it can."""


class FamilyWatch:
    """Watches a call that waits for a family without a replica.

    ``is_running`` says whether the process knows a replica of ``family``. While there is one,
    a call is only awaited.
    """

    def __init__(self, family: str, is_running: Callable[[], bool], why_not: WhyNot) -> None:
        self._family = family
        self._is_running = is_running
        self._why_not = why_not

    async def wait(self, answer: Awaitable[T]) -> T:
        """The ``answer``. Raises :class:`Unavailable` when the family cannot be started."""
        if self._is_running():
            return await answer
        task = asyncio.ensure_future(answer)
        try:
            while not (await asyncio.wait({task}, timeout=CHECK_S))[0]:
                reason = None if self._is_running() else await self._why_not(self._family)
                if reason is not None and not task.done():
                    raise Unavailable(f"{self._family} cannot answer. {reason}", RETRY_AFTER_S)
            return task.result()
        finally:
            task.cancel()
