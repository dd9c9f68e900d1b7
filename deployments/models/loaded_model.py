"""One loaded model, with the memory that it takes and the number of requests that use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from configs.profile import ModelSpec
from configs.weights import DtypeChoice
from deployments.models.memory import MemoryUse, process_bytes
from deployments.seam.replicas import ModelStatus, Stage

M = TypeVar("M")

FRESH_S = 1.0
"""How long the measured memory of a model's process counts as what it takes now."""


@dataclass(slots=True, eq=False)
class LoadedModel(Generic[M]):
    """An entry of the model cache, equal only to itself.

    ``memory`` is what loading added to this process, in ``seconds``, and ``kv_cache_bytes`` what
    its KV cache may take beside that. ``process`` is the id of a process that runs only this model,
    ``engine`` the name of what runs it, ``dtype_choice`` what it computes in, ``slots`` how many
    sequences it decodes together. ``users`` requests use it now, ``requests`` have used it since
    it was loaded; ``idle`` is set when the last of them ends. ``loaded_at`` and ``last_used`` are
    in seconds of ``clock``.
    """

    spec: ModelSpec
    model: M
    memory: MemoryUse
    seconds: float = 0.0
    process: int | None = None
    engine: str = ""
    kv_cache_bytes: int = 0
    dtype_choice: DtypeChoice | None = None
    slots: int | None = None
    clock: Callable[[], float] = time.monotonic
    users: int = 0
    requests: int = 0
    loaded_at: float = field(init=False)
    last_used: float = field(init=False)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    _loaded_bytes: int = field(init=False)
    _counted: tuple[float, int] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._loaded_bytes = self.measured_bytes()
        self.loaded_at = self.last_used = self.clock()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """One more request uses the model while the block runs."""
        self.users += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.users -= 1
            self.last_used = self.clock()
            if self.users == 0:
                self.idle.set()

    @property
    def host_bytes(self) -> int:
        """Bytes now, since a process of the model's own grows and shrinks.

        Counting those takes milliseconds, too long for an event loop.
        """
        own = 0 if self.process is None else process_bytes(self.process)
        return self.memory.host + own

    @property
    def gpu_bytes(self) -> int:
        return self.memory.gpu

    def status(self, stage: Stage) -> ModelStatus:
        """The model's status for operators."""
        return ModelStatus(
            self.spec.name,
            stage,
            self.host_bytes,
            self.gpu_bytes,
            self.seconds,
            self.engine,
            self.kv_cache_bytes,
            self.dtype_choice,
            self.slots,
        )

    def measured_bytes(self) -> int:
        """Bytes on the host and on the GPU now."""
        return self.host_bytes + self.gpu_bytes

    def budget_bytes(self) -> int:
        """Bytes that count as taken: with a full KV cache, however much of it is filled yet.

        Measured at most once in ``FRESH_S`` seconds.
        """
        now = self.clock()
        if self._counted is None or now - self._counted[0] >= FRESH_S:
            nbytes = max(self.measured_bytes(), self._loaded_bytes + self.kv_cache_bytes)
            self._counted = now, nbytes
        return self._counted[1]
