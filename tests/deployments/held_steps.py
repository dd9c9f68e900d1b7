"""Counts every forward of a model class, and holds it until the test lets it go on."""

from __future__ import annotations

import asyncio
import threading
from functools import wraps
from typing import Any

import pytest

from tests.deployments.forwards import PATIENCE_S


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

    def let_go(self) -> None:
        """Hold no more steps."""
        self._free = True
        self._permits.release()
