from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from configs.engines import EngineName
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import FolderSource
from deployments.batching.batch_runner import BatchedModel
from deployments.batching.batcher import Batcher
from deployments.batching.lane import Lane
from deployments.batching.model_loader import BatchedModelLoader
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment
from deployments.seam.problems import Problem

PATIENCE_S = 30.0
SPEC = ModelSpec(
    name="model", tasks=("embed",), source=FolderSource.model_validate({"folder": "nowhere"})
)


@dataclass
class LostDeviceModel:
    """Every forward fails because the device is lost."""

    lane: Lane[int, int]
    engine: EngineName = "torch"


class LostDeviceLoader(BatchedModelLoader[LostDeviceModel]):
    def fetch(self, spec: ModelSpec) -> Path:
        return Path("nowhere")

    def load(self, spec: ModelSpec) -> LostDeviceModel:
        model: BatchedModel[int, int] = BatchedModel(_fail, size=lambda item: item)
        return LostDeviceModel(self._batcher.lane(spec.name, model))


def _fail(items: Sequence[int]) -> Sequence[int]:
    raise RuntimeError("CUDA error: device-side assert triggered")


async def test_a_lost_device_is_still_reported_when_its_model_is_unloaded() -> None:
    config, meter = FamilyConfig("family", (SPEC,), Settings(use_gpu=False)), Meter(None)
    batcher = Batcher(config, meter)
    family = FamilyDeployment(config, LostDeviceLoader(config, batcher, ()), batcher, meter)
    await family.check_health()
    async with family._models.use("model") as model:
        (future,) = model.lane.admit([1])
        assert isinstance(await future, Problem)
    del model
    await family._models.unload("model", PATIENCE_S)
    assert not family._models.loaded
    with pytest.raises(RuntimeError, match="the device is lost"):
        await family.check_health()
