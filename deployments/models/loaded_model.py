"""One model in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from configs.profile import ModelSpec
from deployments.models.memory import MemoryUse, process_bytes

M = TypeVar("M")


@dataclass(slots=True)
class LoadedModel(Generic[M]):
    """One loaded model, what loading it took of this process, and how many requests are on it.

    ``process`` is the id of a process that the model has for itself, ``engine`` what runs it.
    """

    spec: ModelSpec
    model: M
    taken: MemoryUse
    seconds: float = 0.0
    process: int | None = None
    engine: str = ""
    users: int = 0
    last_used: float = 0.0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def host_bytes(self) -> int:
        """As it is now: a process of the model's own grows and shrinks with what it does."""
        own = 0 if self.process is None else process_bytes(self.process)
        return self.taken.host + own

    @property
    def gpu_bytes(self) -> int:
        return self.taken.gpu
