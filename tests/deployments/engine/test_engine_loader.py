"""What the loader of engines says about their memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from configs.engines import DEFAULT_KV_CACHE_GB
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import FolderSource
from deployments.engine.engine_loader import EngineLoader
from deployments.engine.interface import EngineLoad
from deployments.engine.prefix_counts import PrefixCounts
from deployments.metrics import signals
from deployments.models.config import FamilyConfig
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import GIB, MemoryUse


def kv_cache_bytes(load: EngineLoad, kv_cache_gb: float | None = None) -> int:
    source = FolderSource(folder=Path("nowhere"))
    spec = ModelSpec(name="one", tasks=("chat",), source=source, kv_cache_gb=kv_cache_gb)
    engine: Any = SimpleNamespace(load=lambda: load)
    return EngineLoader(FamilyConfig("family", (spec,), Settings())).kv_cache_bytes(spec, engine)


@pytest.mark.parametrize(
    ("load", "kv_cache_gb", "expected"),
    [
        (EngineLoad(1, 0, 0, 0.5, 0), None, DEFAULT_KV_CACHE_GB * GIB),
        (EngineLoad(1, 0, 0, 0.5, 0), 2.5, 2.5 * GIB),
        (EngineLoad(1, 0, 0, 0.5, 0, kv_cache_bytes=3 * GIB), 2.5, 3 * GIB),
        (EngineLoad(1, 0, 0, 0.5, 0, kv_cache_bytes=0), 2.5, 0),
        (EngineLoad(1, 0, 0, None, 0), 2.5, 0),
    ],
    ids=[
        "by default",
        "as configured",
        "as the engine knows",
        "allocated",
        "a state that is fixed",
    ],
)
def test_the_kv_cache_that_is_set_aside_is_what_the_engine_may_still_take(
    load: EngineLoad, kv_cache_gb: float | None, expected: float
) -> None:
    assert kv_cache_bytes(load, kv_cache_gb) == expected


def test_prefixes_are_counted_since_they_were_read_last_for_each_engine() -> None:
    source = FolderSource(folder=Path("nowhere"))
    spec = ModelSpec(name="one", tasks=("chat",), source=source)
    loader = EngineLoader(FamilyConfig("family", (spec,), Settings()))
    totals = iter([PrefixCounts(40, 16), PrefixCounts(100, 48), PrefixCounts(30, 0), None])

    class Counting:
        def load(self) -> EngineLoad:
            return EngineLoad(1, 0, 0, 0.5, 0, memory_bytes=1, prefixes=next(totals))

    def read(engine: Any) -> dict[str, float]:
        gauges = loader.gauges(LoadedModel(spec, engine, MemoryUse(1, 0)))
        wanted = (signals.PREFIX_QUERIES.name, signals.PREFIX_HITS.name)
        return {each.signal: each.amounts[0] for each in gauges if each.signal in wanted}

    engine, after_it_died = Counting(), Counting()
    queries, hits = signals.PREFIX_QUERIES.name, signals.PREFIX_HITS.name
    assert read(engine) == {queries: 40, hits: 16}
    assert read(engine) == {queries: 60, hits: 32}
    assert read(after_it_died) == {queries: 30, hits: 0}
    assert read(Counting()) == {}
