"""The base of the loaders of batched models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from configs.engines import EngineName
from configs.profile import ModelSpec
from configs.weights import DtypeChoice
from deployments.batching.batcher import Batcher
from deployments.batching.lane import Lane
from deployments.metrics import signals
from deployments.metrics.binding_limit import BindingLimit
from deployments.metrics.report import MetricSample
from deployments.models.config import FamilyConfig
from deployments.models.device import computes_in_half
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import import_libraries
from deployments.seam.scaling import ModelLoad


class LaneModel(Protocol):
    """A loaded model that answers through its lane, and the engine that runs it."""

    @property
    def lane(self) -> Lane[Any, Any]: ...
    @property
    def engine(self) -> EngineName: ...


M = TypeVar("M", bound=LaneModel)


class BatchedModelLoader(ABC, Generic[M]):
    """Loads models that answer through a lane. A family implements :meth:`load`.

    ``libraries`` are the modules that loading imports.
    """

    def __init__(
        self,
        config: FamilyConfig,
        batcher: Batcher,
        libraries: tuple[str, ...] = ("transformers.modeling_utils",),
    ) -> None:
        self._config = config
        self._batcher = batcher
        self._libraries = libraries

    @abstractmethod
    def load(self, spec: ModelSpec) -> M:
        """The model, ready to answer. Raises whatever its libraries raise."""

    def fetch(self, spec: ModelSpec) -> Path:
        """The folder of the model's files; downloads and converts what is missing."""
        return self._config.folder(spec)

    def prepare(self, spec: ModelSpec) -> None:
        """Import what loading needs before memory is measured, so that it is not the model's."""
        import_libraries(*self._libraries)

    def unload(self, model: M) -> None:
        model.lane.close()

    def check(self, model: M) -> None:
        """Raises when a forward has been running for too long, or cannot succeed any more."""
        model.lane.check(self._config.settings.stall_timeout_s)

    def is_dead(self, model: M) -> bool:
        """Never: only another replica helps where a forward hangs or fails (:meth:`check`)."""
        return False

    def process_id(self, model: M) -> int | None:
        """None: the model is in the process of the replica."""
        return None

    def kv_cache_bytes(self, spec: ModelSpec, model: M) -> int:
        """0: what a batch takes is freed when it ends."""
        return 0

    def engine_name(self, spec: ModelSpec, model: M) -> str:
        return model.engine

    def dtype_choice(self, spec: ModelSpec) -> DtypeChoice | None:
        return None

    def slots(self, model: M) -> int | None:
        return None

    def computes_in_half(self, spec: ModelSpec) -> bool:
        return computes_in_half(self._config, spec)

    def load_of(self, model: M) -> ModelLoad:
        """The work that waits for the model, and how busy it is."""
        lane = model.lane
        return ModelLoad(queue=lane.waiting_seconds / self._batcher.target_queue_s, busy=lane.busy)

    def limit_of(self, model: M) -> BindingLimit | None:
        """What its batches or its forwards are bound by; ``None`` where they have time left."""
        return model.lane.binding_limit(self._batcher.volume_name)

    @property
    def target_queue_s(self) -> float:
        return self._batcher.target_queue_s

    def gauges(self, loaded: LoadedModel[M]) -> Iterator[MetricSample]:
        """Its memory, and the items that wait for it."""
        yield signals.MEMORY.of(loaded.spec.name, amount=loaded.measured_bytes())
        yield signals.WAITING.of(loaded.spec.name, amount=loaded.model.lane.depth)
