"""Runs the many calls of one request, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def run_all(works: Sequence[Callable[[], Awaitable[None]]], workers: int) -> None:
    """Run ``works`` in their order, up to ``workers`` at a time.

    The first failure is raised, after the others were cancelled.
    """
    waiting = iter(works)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(workers, len(works))):
                group.create_task(_work(waiting))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def gathered(calls: Iterable[Callable[[], Awaitable[T]]], workers: int) -> list[T]:
    """The results of ``calls``, in their order, by :func:`run_all`."""
    results: dict[int, T] = {}

    def kept(index: int, call: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[None]]:
        async def keep() -> None:
            results[index] = await call()

        return keep

    await run_all([kept(index, call) for index, call in enumerate(calls)], workers)
    return [results[index] for index in range(len(results))]


async def _work(waiting: Iterator[Callable[[], Awaitable[None]]]) -> None:
    for work in waiting:
        await work()
