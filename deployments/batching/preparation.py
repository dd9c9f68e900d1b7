"""Work that comes before a model, in a few threads: large pieces never keep small ones waiting."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

SMALL = 4_000_000
"""Pixels up to which a piece is small: decoding and scaling so many takes some 0.1 s."""

SECONDS_PER_PIXEL = 50e-9
PATIENCE = 4.0
"""A piece is due after this many times the time that it takes."""


@dataclass(slots=True, order=True)
class Piece:
    """One piece of work that waits. The one that is due first begins first."""

    due: float
    number: int
    pixels: int = field(compare=False)
    work: Callable[[], Any] = field(compare=False)
    result: asyncio.Future[Any] = field(compare=False)


class Preparation:
    """``threads`` at work. The first that is due begins, and a small piece is due almost at once.

    Large ones leave one thread free, and together have at most ``max_pixels``, or are alone: each
    takes up to 20 bytes a pixel of memory while it is at work.
    """

    def __init__(
        self, threads: int, max_pixels: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
        self._free = threads
        self._max_large = max(1, threads - 1)
        self._max_pixels = max_pixels
        self._clock = clock
        self._small: list[Piece] = []
        self._large: list[Piece] = []
        self._running: list[int] = []  # the pixels of each large piece that runs
        self._numbers = 0

    @property
    def waiting_pixels(self) -> int:
        """Of the large pieces that have not begun."""
        return sum(piece.pixels for piece in self._large if not piece.result.done())

    async def run(self, pixels: int, work: Callable[P, T], *given: P.args, **more: P.kwargs) -> T:
        """``work`` over so many pixels, in a thread. Cancelling this drops it if it waits."""
        self._numbers += 1
        due = self._clock() + PATIENCE * SECONDS_PER_PIXEL * pixels
        result = asyncio.get_running_loop().create_future()
        piece = Piece(due, self._numbers, pixels, partial(work, *given, **more), result)
        result.add_done_callback(partial(_let_go, piece))
        heapq.heappush(self._small if pixels <= SMALL else self._large, piece)
        self._begin()
        answer: T = await result
        return answer

    def _begin(self) -> None:
        while self._free and (piece := self._next()) is not None:
            self._free -= 1
            if piece.pixels > SMALL:
                self._running.append(piece.pixels)
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, piece.work)
            running.add_done_callback(partial(self._ended, piece))

    def _next(self) -> Piece | None:
        """Take out the piece that is due first, of those that may begin."""
        for waiting in (self._small, self._large):
            while waiting and waiting[0].result.done():  # whoever asked is gone
                heapq.heappop(waiting)
        able = [waiting for waiting in (self._small, self._large) if waiting]
        if self._large and not self._has_room_for(self._large[0]):
            able.remove(self._large)
        return heapq.heappop(min(able, key=lambda waiting: waiting[0])) if able else None

    def _has_room_for(self, piece: Piece) -> bool:
        if not self._running:
            return True
        together = sum(self._running) + piece.pixels
        return len(self._running) < self._max_large and together <= self._max_pixels

    def _ended(self, piece: Piece, done: asyncio.Future[Any]) -> None:
        self._free += 1
        if piece.pixels > SMALL:
            self._running.remove(piece.pixels)
        if piece.result.done():
            done.exception()  # nobody is left to be told
        elif (error := done.exception()) is not None:
            piece.result.set_exception(error)
        else:
            piece.result.set_result(done.result())
        self._begin()


def _let_go(piece: Piece, _: asyncio.Future[Any]) -> None:
    """One whose asker is gone may stay in line for a while: without the image that it is about."""
    piece.work = _nothing


def _nothing() -> None:
    """What is left of a piece that nobody waits for."""
