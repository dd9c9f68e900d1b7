"""Configurations of families and models, for tests of devices and of loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import FolderSource
from deployments.models.config import FamilyConfig

Sight: TypeAlias = Callable[..., None]


def config(gpu_fraction: float = 0.5, **settings: Any) -> FamilyConfig:
    return FamilyConfig("family", (), Settings(**settings), gpu_fraction)


def model(**fields: Any) -> ModelSpec:
    source = FolderSource(folder=Path("nowhere"))
    return ModelSpec(name="house/model", tasks=("embed",), source=source, **fields)
