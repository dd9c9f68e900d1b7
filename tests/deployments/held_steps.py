"""Counts every forward of a model class, and holds it until the test lets it go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import wraps
from typing import Any

import pytest

from deployments.models.family import FamilyDeployment
from tests.deployments.forwards import PATIENCE_S

STALL_S = 50.0


class HeldSteps:
    """Holds each forward of ``model_class``: for a model that decodes, that is each token."""

    def __init__(self, patch: pytest.MonkeyPatch, model_class: Any) -> None:
        self.taken = 0
        self._begun = 0
        self._permits = threading.Semaphore(0)
        self._free = False
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Queue[int] = asyncio.Queue()
        forward = model_class.forward

        @wraps(forward)
        def held(model: Any, *given: Any, **options: Any) -> Any:
            self.taken += 1
            self._loop.call_soon_threadsafe(self._started.put_nowait, self.taken)
            if not self._free:
                assert self._permits.acquire(timeout=PATIENCE_S), (
                    "the test did not let the step go on"
                )
            return forward(model, *given, **options)

        patch.setattr(model_class, "forward", held)

    async def reach(self, step: int) -> None:
        """Let steps go on until the one with this number has begun, and is held."""
        async with asyncio.timeout(PATIENCE_S):
            while self._begun < step:
                if self._begun:
                    self._permits.release()
                self._begun = await self._started.get()

    async def cancel(self, asking: asyncio.Task[Any], step: int) -> None:
        """Cancel ``asking`` while this step is held, then hold no more steps."""
        await self.reach(step)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        self.let_go()

    def let_go(self) -> None:
        """Hold no more steps."""
        self._free = True
        self._permits.release()


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def check_health_of_slow_steps(
    family: FamilyDeployment[Any], held: HeldSteps, asking: Coroutine[Any, Any, object]
) -> None:
    """Check that a text is healthy for as long as each token comes within the stall timeout.

    ``family`` has loaded its one model, whose lane gets a clock of the test, and whose settings
    have ``STALL_S`` as the stall timeout. ``asking`` is a request for at least four tokens.
    """
    (loaded,) = family._models.loaded
    clock = loaded.model.lane._clock = Clock()
    task = asyncio.create_task(asking)
    await held.reach(1)
    for step in (2, 3, 4):
        clock.now += 0.9 * STALL_S
        await held.reach(step)
        await family.check_health()
    assert clock.now > 2 * STALL_S
    clock.now += 1.1 * STALL_S
    with pytest.raises(RuntimeError, match=f"more than {STALL_S:g} s"):
        await family.check_health()
    held.let_go()
    async with asyncio.timeout(PATIENCE_S):
        await task
    await family.check_health()
