"""The configuration of a family's deployment: its models, the settings, its share of a GPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.allow import AllowList
from configs.engines import ModelHead
from configs.processor import usable_cores
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import DtypeChoice, Export, exported, fastest_dtype, materialise


@dataclass(frozen=True, slots=True)
class FamilyConfig:
    """The constructor argument of a family's deployment. ``ledger`` is a handle, under Serve.

    ``allowed`` says which models may be loaded by name beside ``models``.
    """

    name: str
    models: tuple[ModelSpec, ...]
    settings: Settings
    gpu_fraction: float = 0.0
    ledger: Any = None
    allowed: AllowList = field(default_factory=AllowList)

    def folder(self, model: ModelSpec) -> Path:
        """The model's weights on this node; fetched and converted here if they are not yet."""
        return materialise(model.source, self.settings.hf_cache_dir, token=self.settings.token)

    def export(self, model: ModelSpec, head: ModelHead) -> Export:
        """The same weights as OpenVINO takes them, and how fast it is with them on this node."""
        settings = self.settings
        return exported(model.source, head, settings.hf_cache_dir, token=settings.token)

    def dtype_choice(self, model: ModelSpec) -> DtypeChoice:
        """What a text generator on OpenVINO computes in: as its profile says, or as measured."""
        if not model.chooses_dtype:
            return DtypeChoice(model.dtype)
        settings = self.settings
        return fastest_dtype(model.source, settings.hf_cache_dir, token=settings.token)

    @property
    def threads(self) -> int:
        """Threads for arithmetic. Ray's ``num_cpus`` is for scheduling and would give one."""
        return self.settings.threads or usable_cores()
