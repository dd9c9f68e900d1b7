"""A family whose forwards take the time that its models' names say, and its route."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from configs.engines import EngineName
from configs.profile import ModelSpec
from deployments.batching.batch_runner import BatchedModel
from deployments.batching.batcher import Batcher
from deployments.batching.lane import Lane
from deployments.batching.model_loader import BatchedModelLoader
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.models.family import FamilyDeployment
from deployments.seam.problems import Problem
from serve_app.ingress.routes.context import RequestServices
from serve_app.ingress.routes.inference_router import InferenceRouter

router = InferenceRouter(prefix="/work", tags=["bench"])


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """One item for ``model``."""

    model: str


@router.inference("/{family}", "work", fixed=True)
async def work(family: str, services: RequestServices) -> dict[str, Any]:
    """One item for the family's only model."""
    answered = await services.client.call(family, "work", WorkRequest(f"stub/{family}-100ms"))
    return {"answered": answered}


@dataclass(frozen=True, slots=True)
class TimedModel:
    """A model that takes time and computes nothing."""

    lane: Lane[int, int]
    engine: EngineName = "torch"


class TimedLoader(BatchedModelLoader[TimedModel]):
    """Loads models whose names end in the time of an item, as ``stub/hot-100ms``."""

    def load(self, spec: ModelSpec) -> TimedModel:
        said = re.search(r"(\d+)ms$", spec.name)
        if said is None:
            raise ValueError(f"{spec.name} does not say how long an item takes")
        item_s = int(said[1]) / 1000

        def run(items: Sequence[int]) -> Sequence[int]:
            time.sleep(item_s * len(items))
            return items

        return TimedModel(self._batcher.lane(spec.name, BatchedModel(run, size=lambda _: 1)))


class TimedFamily(FamilyDeployment[TimedModel]):
    """The deployment: a real lane, model cache and meter around a forward that sleeps."""

    tasks: ClassVar[dict[str, str]] = {"work": "takes time"}

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        self._batcher = Batcher(config, meter)
        super().__init__(config, TimedLoader(config, self._batcher, ()), self._batcher, meter)

    @unavailable_as_problem
    async def work(self, request: WorkRequest) -> int | Problem:
        """1, once a forward has had the item."""

        async def parts() -> AsyncGenerator[Sequence[int | Problem], None]:
            yield [1]

        async with self._models.use(request.model) as model:
            (answer,) = await self._batcher.answers(model.lane, parts())
            return answer
