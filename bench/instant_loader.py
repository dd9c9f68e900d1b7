"""A model loader for tests and simulations: it takes no time and no memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from configs.profile import ModelSpec
from configs.weights import DtypeChoice
from deployments.metrics.binding_limit import BindingLimit
from deployments.metrics.report import MetricSample
from deployments.models.loaded_model import LoadedModel
from deployments.seam.scaling import ModelLoad

M = TypeVar("M")


class InstantLoader(Generic[M]):
    """Loads what ``make`` makes; nothing has to be downloaded, prepared or ended."""

    def __init__(self, make: Callable[[ModelSpec], M]) -> None:
        self._make = make

    def fetch(self, spec: ModelSpec) -> Path:
        return Path("nowhere")

    def prepare(self, spec: ModelSpec) -> None:
        """There is nothing to import."""

    def load(self, spec: ModelSpec) -> M:
        return self._make(spec)

    def unload(self, model: M) -> None:
        """There is nothing to end."""

    def check(self, model: M) -> None:
        """Nothing can fail."""

    def is_dead(self, model: M) -> bool:
        return False

    def process_id(self, model: M) -> int | None:
        return None

    def kv_cache_bytes(self, spec: ModelSpec, model: M) -> int:
        return 0

    def engine_name(self, spec: ModelSpec, model: M) -> str:
        return spec.engines[0]

    def slots(self, model: object) -> int | None:
        return None

    def dtype_choice(self, spec: ModelSpec) -> DtypeChoice | None:
        return None

    def computes_in_half(self, spec: ModelSpec) -> bool:
        return spec.dtype not in ("auto", "float32")

    def load_of(self, model: M) -> ModelLoad:
        return ModelLoad()

    def limit_of(self, model: M) -> BindingLimit | None:
        return None

    @property
    def target_queue_s(self) -> float:
        return 0.0

    def gauges(self, loaded: LoadedModel[M]) -> list[MetricSample]:
        return []
