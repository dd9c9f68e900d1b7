"""What replicas report of their models, and orders to load and unload them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["fetching", "loading", "warm", "leaving"]


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """Load or unload ``model``, giving up after ``within_s`` seconds."""

    model: str
    within_s: float


@dataclass(frozen=True, slots=True)
class CudaMemory:
    """Bytes on one replica's GPU, as PyTorch counts them."""

    allocated: int = 0
    cached: int = 0
    max_allocated: int = 0


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model of a replica, in memory (``warm``) or on its way there.

    Bytes are measured: what loading it added to the replica's process, and what a process of the
    model's own takes now. ``seconds`` is how long loading took, ``engine`` what runs the model.
    """

    model: str
    stage: Stage
    host_bytes: int = 0
    gpu_bytes: int = 0
    seconds: float = 0.0
    engine: str = ""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """The limits that a replica of ``family`` keeps to, by their names in ``user_config``.

    ``refused`` says what is wrong with the last ``user_config``, if the replica did not take it.
    """

    family: str
    in_force: dict[str, float]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What one replica holds at a moment, and the live limits that it keeps to."""

    replica: str
    node: str
    models: tuple[ModelStatus, ...]
    cuda: CudaMemory = field(default_factory=CudaMemory)
    limits: LiveLimits | None = None


@dataclass(frozen=True, slots=True)
class UnloadResult:
    """A replica no longer holds a model; ``freed_bytes`` is by how much its memory fell."""

    replica: str
    node: str
    freed_bytes: int
    seconds: float
