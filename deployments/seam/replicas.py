"""Orders to load and unload models, and the reports of replicas about their models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypedDict

from configs.weights import DtypeChoice

Stage: TypeAlias = Literal["fetching", "waiting", "loading", "warm", "leaving"]
"""A model is ``waiting`` whose files are here and which waits for its turn to be loaded."""

COMING: tuple[Stage, ...] = ("fetching", "waiting", "loading")
"""The stages of a model that is on its way into memory."""


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """An order to load or unload ``model``, given up after ``within_s`` seconds."""

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
    """One model of a replica: on its way into memory, loaded (``warm``) or being unloaded.

    The bytes are measured: what loading added to the memory of the replica's process, and what the
    engine's own process takes now, if it has one. ``seconds`` is how long loading took.
    ``kv_cache_bytes`` is set aside for its KV cache, filled or not.
    ``progress``, between 0 and 1, is how much of the time has passed that loading took before.
    ``dtype_choice`` is told of text generators on OpenVINO, ``slots`` of all text generators.
    """

    model: str
    stage: Stage
    host_bytes: int = 0
    gpu_bytes: int = 0
    seconds: float = 0.0
    engine: str = ""
    kv_cache_bytes: int = 0
    dtype_choice: DtypeChoice | None = None
    slots: int | None = None
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class FailedModel:
    """A model that could not be loaded when it was tried last, ``times`` in a row, and why."""

    model: str
    reason: str
    times: int


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """The limits of batches that are in force in a replica, by their names in ``user_config``.

    ``refused`` says what is wrong with the last ``user_config``, if the replica refused it.
    """

    family: str
    in_force: dict[str, float]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """The models of one replica at one moment, its GPU memory and its limits; and the models that
    it could not load."""

    replica: str
    node: str
    models: tuple[ModelStatus, ...]
    cuda: CudaMemory = field(default_factory=CudaMemory)
    limits: LiveLimits | None = None
    failed: tuple[FailedModel, ...] = ()


@dataclass(frozen=True, slots=True)
class UnloadResult:
    """A replica has unloaded a model, which made its memory fall by ``freed_bytes``."""

    replica: str
    node: str
    freed_bytes: int
    seconds: float


class RoutingStats(TypedDict):
    """What a replica reports to Serve's request routers every few seconds: its models' stages."""

    models: dict[str, Stage]


class ReplicaMetadata(TypedDict):
    """What a replica tells Serve's request routers once: the models that load before it starts."""

    pinned: list[str]
