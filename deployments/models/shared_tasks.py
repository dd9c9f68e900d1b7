"""Tasks by name, each of which runs once for all callers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Set
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedTasks(Generic[T]):
    """At most one running task a name. It goes on when all callers are cancelled, unless
    ``cancel_if_unawaited`` says of its name that it is cancelled then."""

    def __init__(self, cancel_if_unawaited: Callable[[str], bool] = lambda name: False) -> None:
        self._cancel_if_unawaited = cancel_if_unawaited
        self._running: dict[str, asyncio.Task[T]] = {}
        self._waiting = Counter[asyncio.Task[T]]()

    @property
    def names(self) -> Set[str]:
        """A live view: the names of the running tasks."""
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

    def cancel(self, name: str) -> None:
        """Cancel the task of this name, if one runs. Its callers return without a result."""
        if (task := self._running.get(name)) is not None:
            task.cancel()

    async def wait(self, task: asyncio.Task[T]) -> None:
        """Wait until a task that was started here has ended. Raises what it raised.

        The task may be cancelled when the last caller that waits here is. A caller that starts to
        wait after the cancellation returns normally, without a result: it has to look again.
        """
        self._waiting[task] += 1
        try:
            await asyncio.wait({task})
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                self._cancel_unawaited(task)
        if not task.cancelled():
            task.result()

    def _cancel_unawaited(self, task: asyncio.Task[T]) -> None:
        name = task.get_name()
        if self._running.get(name) is task and self._cancel_if_unawaited(name):
            task.cancel()

    def _ended(self, name: str, task: asyncio.Task[T]) -> None:
        del self._running[name]
        if not task.cancelled():
            task.exception()  # marks it as retrieved: all callers may be gone
