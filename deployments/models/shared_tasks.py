"""Tasks by name, each of which runs once for all callers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Set
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedTasks(Generic[T]):
    """At most one running task a name. It goes on when all callers are cancelled, unless it
    ``may_be_called_off`` then."""

    def __init__(self, may_be_called_off: Callable[[str], bool] = lambda name: False) -> None:
        self._may_be_called_off = may_be_called_off
        self._running: dict[str, asyncio.Task[T]] = {}
        self._waiting = Counter[asyncio.Task[T]]()

    @property
    def names(self) -> Set[str]:
        """Of the tasks that run, also while this is kept."""
        return self._running.keys()

    def get(self, name: str) -> asyncio.Task[T] | None:
        return self._running.get(name)

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The task of this name: the one that runs, else a new one that does ``work``.

        A caller that awaits it and may be cancelled has to shield it.
        """
        task = self._running.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(work(), name=name)
            task.add_done_callback(partial(self._ended, name))
            self._running[name] = task
        return task

    async def wait(self, task: asyncio.Task[T]) -> None:
        """Wait until a task that was started here has ended. Raises what it raised.

        The task is called off when the last caller that waits here is cancelled. A caller that came
        too late to prevent that sees no result and no error.
        """
        self._waiting[task] += 1
        try:
            await asyncio.wait({task})
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                self._call_off(task)
        if not task.cancelled():
            task.result()

    def _call_off(self, task: asyncio.Task[T]) -> None:
        name = task.get_name()
        if self._running.get(name) is task and self._may_be_called_off(name):
            task.cancel()

    def _ended(self, name: str, task: asyncio.Task[T]) -> None:
        del self._running[name]
        if not task.cancelled():
            task.exception()  # marks it as retrieved: all callers may be gone
