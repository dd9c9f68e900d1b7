"""Tasks by name, each of which runs once for all callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Set
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedTasks(Generic[T]):
    """At most one running task a name. It goes on when all callers are cancelled."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[T]] = {}

    @property
    def names(self) -> Set[str]:
        return self._running.keys()

    def get(self, name: str) -> asyncio.Task[T] | None:
        return self._running.get(name)

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The task of this name: the one that runs, else a new one that does ``work``.

        A caller that awaits it and may be cancelled has to shield it.
        """
        task = self._running.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(work())
            task.add_done_callback(partial(self._ended, name))
            self._running[name] = task
        return task

    def _ended(self, name: str, task: asyncio.Task[T]) -> None:
        del self._running[name]
        if not task.cancelled():
            task.exception()  # marks it as retrieved: all callers may be gone
