"""Models whose files are on their way to this node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from configs.profile import ModelSpec
from deployments.models.load_attempt import attempt
from deployments.models.memory_budget import least_bytes


class Downloads:
    """Fetches each model once for all who ask, beside the others: one that takes minutes holds up
    nobody else, so there are as many threads as models.

    A fetch goes on when nobody waits for it any more, since a thread cannot be stopped; who asks
    again joins it. ``halves`` says whether a model computes in half precision.
    """

    def __init__(
        self,
        fetch: Callable[[ModelSpec], Path],
        models: int,
        halves: Callable[[ModelSpec], bool],
    ) -> None:
        self._fetch = fetch
        self._halves = halves
        self._threads = ThreadPoolExecutor(max(1, models), thread_name_prefix="fetch")
        self._running: dict[str, asyncio.Task[int]] = {}

    def now(self, spec: ModelSpec) -> int:
        """Have the model's files here; how many bytes its weights take in memory at the very least.

        Blocks, and raises whatever fetching raises.
        """
        return least_bytes(self._fetch(spec), spec, in_half=self._halves(spec))

    async def least_bytes(self, spec: ModelSpec) -> int:
        """The same for an event loop. Raises :class:`ModelUnavailable`."""
        fetch = self._running.get(spec.name)
        if fetch is None:
            fetch = asyncio.get_running_loop().create_task(attempt(self._threads, spec, self.now))
            fetch.add_done_callback(partial(finished, self._running, spec.name))
            self._running[spec.name] = fetch
        return await asyncio.shield(fetch)


def finished(tasks: dict[str, asyncio.Task[Any]], name: str, task: asyncio.Task[Any]) -> None:
    """Forget a task that ended; its failure was told to those who waited, if any are left."""
    tasks.pop(name)
    if not task.cancelled():
        task.exception()
