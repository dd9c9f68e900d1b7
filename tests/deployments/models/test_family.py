"""When replicas load what is pinned, and what they tell of their models and their load."""

from __future__ import annotations

import asyncio
import threading
from itertools import count
from pathlib import Path

import pytest

from bench.instant_loader import InstantLoader
from deployments.metrics.binding_limit import BindingLimit
from deployments.models.cpu_use import CpuUse
from deployments.seam.replicas import ModelOrder
from deployments.seam.scaling import ModelLoad, ScalingDecisions
from tests.deployments.models.names_family import PATIENCE_S, Names, with_pinned
from tests.deployments.models.scaled_replica import in_scaled_replica


@pytest.mark.usefixtures("orders")
async def test_a_constructor_loads_nothing_and_the_first_health_check_what_is_pinned() -> None:
    family = Names(set())
    assert await family.held() == set()
    await family.check_health()
    assert await family.held() == {"pin"}


@pytest.mark.usefixtures("orders")
async def test_a_pinned_model_that_does_not_load_fails_the_start_with_its_reason() -> None:
    """Serve awaits the first health check, and shows the traceback of what it raises."""
    family = Names({"pin"})
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="/secret"):
            await family.check_health()


@pytest.mark.usefixtures("orders")
async def test_a_health_check_does_not_wait_for_the_decision_on_replicas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(_: ScalingDecisions, deployment: str) -> None:
        asked.set()
        assert answer.wait(PATIENCE_S), "nobody answered"

    family = Names(set())
    monkeypatch.setattr(ScalingDecisions, "get", slow)
    in_scaled_replica(monkeypatch)
    async with asyncio.timeout(PATIENCE_S / 2):  # the GCS does not answer in that time
        for _ in range(2):
            await family.check_health()
        assert await asyncio.to_thread(asked.wait, PATIENCE_S)
    answer.set()


@pytest.mark.usefixtures("orders")
async def test_checks_that_come_while_pinned_models_load_wait_for_the_one_load() -> None:
    family = Names(set(), far={"pin"})
    checks = [asyncio.create_task(family.check_health()) for _ in range(3)]
    await asyncio.wait(checks, timeout=0.01)
    checks[0].cancel()
    family.delivered.set()
    await asyncio.gather(*checks[1:])
    assert await family.held() == {"pin"}


@pytest.mark.usefixtures("orders")
async def test_routers_learn_what_is_loaded_and_what_is_on_its_way() -> None:
    family = Names(set(), far={"two"})
    assert await family.record_routing_stats() == {"models": {}}
    assert await family.record_replica_metadata() == {"pinned": ["pin"]}
    await with_pinned(family)
    assert await family.record_routing_stats() == {"models": {"pin": "warm"}}
    order = asyncio.create_task(family.load_model(ModelOrder("two", PATIENCE_S)))
    assert await asyncio.to_thread(family.fetching.wait, PATIENCE_S)
    assert (await family.record_routing_stats())["models"]["two"] == "fetching"
    family.delivered.set()
    await order
    assert (await family.record_routing_stats())["models"]["two"] == "warm"
    await family.unload_model(ModelOrder("two", PATIENCE_S))
    assert await family.record_routing_stats() == {"models": {"pin": "warm"}}


class Loads(InstantLoader[str]):
    """Models have the load that the test sets."""

    target_queue_s = 0.5

    def __init__(self) -> None:
        super().__init__(lambda spec: spec.name)
        self.loads: dict[str, ModelLoad] = {}
        self.limit: BindingLimit | None = None

    def load_of(self, model: str) -> ModelLoad:
        return self.loads[model]

    def limit_of(self, model: str) -> BindingLimit | None:
        return self.limit


@pytest.mark.usefixtures("orders")
async def test_serve_is_told_the_load_of_all_models_together() -> None:
    """Each text generator has its own slots; forwards share the time of the replica."""
    family, loader = Names(set()), Loads()
    family._loader = loader
    await family.settle()
    async with family._models.use("one"):
        pass
    loader.loads = {
        "pin": ModelLoad(slots=0.5, kv_cache=0.9, queue=0.4, busy=0.7),
        "one": ModelLoad(slots=1.5, kv_cache=0.1, queue=0.3, busy=0.6),
    }
    assert await family.record_autoscaling_stats() == {
        "slots": 1.5,
        "kv_cache": 0.9,
        "queue": pytest.approx(0.7),
        "busy": 1.0,
        "target_queue_s": 0.5,
        "max_ongoing_requests": 0,  # outside Serve
    }


@pytest.mark.usefixtures("orders")
async def test_a_replica_reports_what_binds_it_and_in_which_family() -> None:
    family, loader = Names(set()), Loads()
    family._loader = loader
    await family.settle()
    binding = family._binding
    gauges = {sample.labels: sample.amounts for sample in binding.gauges()}
    assert set(gauges.values()) == {(0.0,)}
    assert {name for name, _ in gauges} == {"names"}
    assert binding.report().limits == ()
    loader.limit = BindingLimit("slots", "4 of 4")
    gauges = {sample.labels: sample.amounts for sample in binding.gauges()}
    assert gauges["names", "slots"] == (1.0,)
    assert sum(amount for (amount,) in gauges.values()) == 1
    assert binding.report().limits == (loader.limit,)


@pytest.mark.usefixtures("orders")
async def test_a_replica_that_fills_its_containers_cpu_limit_is_bound_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.cpu_percent", lambda: 12.0)  # of the machine
    family, loader, seconds = Names(set()), Loads(), count(1)
    family._loader = loader
    await family.settle()
    loader.limit = BindingLimit("forward_time", "slow")
    (tmp_path / "membership").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    binding = family._binding
    binding._cpu = CpuUse(tmp_path, tmp_path / "membership", lambda: next(seconds))
    reported = []
    for used in (0, 980_000):
        (tmp_path / "cpu.stat").write_text(f"usage_usec {used}\n")
        list(binding.gauges())
        reported.append(binding.report().limits)
    assert [each.limit for (each,) in reported] == ["forward_time", "cpu"]
    assert reported[1][0].why == "slow; the cores are busy in 98% of the time"


@pytest.mark.usefixtures("orders")
async def test_a_replica_without_models_has_no_load() -> None:
    assert set((await Names(set()).record_autoscaling_stats()).values()) == {0}
