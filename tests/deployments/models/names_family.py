"""A family whose models are their names."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

from bench.instant_loader import InstantLoader
from configs.allow import AllowList
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import FolderSource
from deployments.generation import NoLiveLimits
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment

PATIENCE_S = 30.0
FOLDER = Path("/models")


class NamesLoader(InstantLoader[str]):
    """Models are their names. ``broken`` ones do not load, files of ``far`` ones come late."""

    def __init__(self, broken: set[str], far: Collection[str]) -> None:
        super().__init__(lambda spec: spec.name)
        self._broken, self._far = broken, far
        self.fetching, self.delivered = threading.Event(), threading.Event()

    def load(self, spec: ModelSpec) -> str:
        if spec.name in self._broken:
            raise FileNotFoundError("/secret")
        return super().load(spec)

    def fetch(self, spec: ModelSpec) -> Path:
        if spec.name in self._far:
            self.fetching.set()
            assert self.delivered.wait(PATIENCE_S), "nobody delivered"
        return super().fetch(spec)


class Names(FamilyDeployment[str]):
    """A family whose models are their names; those in ``broken`` do not load.

    Files of those that are ``far`` do not come before ``delivered``.
    """

    def __init__(self, broken: set[str], far: Collection[str] = ()) -> None:
        source = FolderSource.model_validate({"folder": "nowhere"})
        specs = tuple(
            ModelSpec(name=name, tasks=("embed",), source=source, pinned=name == "pin")
            for name in ("pin", "one", "two")
        )
        loader = NamesLoader(broken, far)
        self.fetching, self.delivered = loader.fetching, loader.delivered
        config = FamilyConfig("names", specs, Settings(), allowed=AllowList((), FOLDER))
        super().__init__(config, loader, NoLiveLimits("names"), Meter(None))

    async def settle(self) -> None:
        """A health check, and what it began in the background."""
        await self.check_health()
        following = self._orders._following
        assert following is not None
        await following

    async def held(self) -> set[str]:
        return {status.model for status in (await self.loaded_models(None)).models}


async def with_pinned(family: Names) -> Names:
    """``family`` with its pinned models, before it follows any order."""
    await family._orders.load_pinned()
    return family
