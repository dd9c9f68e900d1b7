"""Runs the preprocessing of images in a few threads, so that large ones never delay small ones."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

from deployments.batching.tuning import DUE_S_PER_PIXEL, SMALL_PIXELS

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(slots=True, order=True)
class PreparationTask:
    """Work that waits for a thread. The one that is due first starts first."""

    due: float
    number: int
    pixels: int = field(compare=False)
    work: Callable[[], Any] = field(compare=False)
    result: asyncio.Future[Any] = field(compare=False)


class Preparation:
    """A queue of preprocessing work for ``threads``, sorted by when each is due.

    Work over few pixels is due almost at once, work over many only after a multiple of the time
    that it takes. Large work, of more than ``SMALL_PIXELS``, leaves one thread free, and what runs
    of it has at most ``max_pixels`` together, or is alone: it takes up to 20 bytes of memory a
    pixel.
    """

    def __init__(
        self, threads: int, max_pixels: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
        self._free = threads
        self._max_large = max(1, threads - 1)
        self._max_pixels = max_pixels
        self._clock = clock
        self._small: list[PreparationTask] = []
        self._large: list[PreparationTask] = []
        self._running_large: list[int] = []  # the pixels of each
        self._numbers = 0

    @property
    def waiting_pixels(self) -> int:
        """The pixels of large work that has not started."""
        return sum(task.pixels for task in self._large if not task.result.done())

    async def run(self, pixels: int, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Run ``work`` over so many pixels in a thread. If this is cancelled before it starts, it
        is dropped."""
        self._numbers += 1
        due = self._clock() + DUE_S_PER_PIXEL * pixels
        result = asyncio.get_running_loop().create_future()
        task = PreparationTask(due, self._numbers, pixels, partial(work, *args, **options), result)
        result.add_done_callback(partial(_forget_work, task))
        heapq.heappush(self._small if pixels <= SMALL_PIXELS else self._large, task)
        self._start()
        answer: T = await result
        return answer

    def _start(self) -> None:
        while self._free and (task := self._next()) is not None:
            self._free -= 1
            if task.pixels > SMALL_PIXELS:
                self._running_large.append(task.pixels)
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, task.work)
            running.add_done_callback(partial(self._ended, task))

    def _next(self) -> PreparationTask | None:
        """Take out the task that is due first, of those that may start."""
        for queue in (self._small, self._large):
            while queue and queue[0].result.done():  # its caller was cancelled
                heapq.heappop(queue)
        startable = [queue for queue in (self._small, self._large) if queue]
        if self._large and not self._has_room_for(self._large[0]):
            startable.remove(self._large)
        return heapq.heappop(min(startable, key=lambda queue: queue[0])) if startable else None

    def _has_room_for(self, task: PreparationTask) -> bool:
        if not self._running_large:
            return True
        together = sum(self._running_large) + task.pixels
        return len(self._running_large) < self._max_large and together <= self._max_pixels

    def _ended(self, task: PreparationTask, done: asyncio.Future[Any]) -> None:
        self._free += 1
        if task.pixels > SMALL_PIXELS:
            self._running_large.remove(task.pixels)
        if task.result.done():
            done.exception()  # marks it as retrieved: its caller was cancelled
        elif (error := done.exception()) is not None:
            task.result.set_exception(error)
        else:
            task.result.set_result(done.result())
        self._start()


def _forget_work(task: PreparationTask, _: asyncio.Future[Any]) -> None:
    """Drop the image: a task whose caller was cancelled may stay in the queue for a while."""
    task.work = _nothing


def _nothing() -> None:
    """The work of a task that was cancelled."""
