"""An event loop on a simulated clock: waiting takes no time, and every run goes the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from selectors import SelectorKey, SelectSelector
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes where all tasks wait for it: the clock then stands at the next timer.

    Work for a thread runs at once on the loop's. It takes as long as it says by :meth:`spend`, and
    its result comes after that time.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Timers(self.spend))

    def time(self) -> float:
        """Simulated seconds since the loop was made."""
        return self._now

    def spend(self, seconds: float) -> None:
        """Let time pass, as work in a thread does that takes ``seconds``."""
        self._now += seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T]
        future, began = self.create_future(), self._now
        try:
            done = partial(_set, future, func(*args))
        except Exception as error:  # noqa: BLE001  as a thread's, for whoever awaits it
            done = partial(_fail, future, error)
        took, self._now = self._now - began, began
        self.call_later(took, done)
        return future


class _Timers(SelectSelector):
    def __init__(self, spend: Callable[[float], None]) -> None:
        super().__init__()
        self._spend = spend

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for another one")
        self._spend(timeout)
        return super().select(0)


def _set(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
