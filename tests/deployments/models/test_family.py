"""What replicas do with orders: those they hear, and those written before they started."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from itertools import count
from pathlib import Path

import pytest

from bench.instant_loader import InstantLoader
from configs.allow import AllowList
from configs.live_models import LiveModel
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import FolderSource
from deployments.generation import NoLiveLimits
from deployments.metrics.binding_limit import BindingLimit
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.cpu_use import CpuUse
from deployments.models.family import FamilyDeployment
from deployments.seam.live_models import OwnLiveModels
from deployments.seam.orders import OwnOrders
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ReplicaReport, UnloadResult
from deployments.seam.scaling import ModelLoad, ScalingDecisions
from tests.deployments.models.scaled_replica import in_scaled_replica

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


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> OwnOrders:
    """One book of orders for every replica that starts."""
    made = OwnOrders()
    monkeypatch.setattr("deployments.models.order_follower.orders_here", lambda: made)
    return made


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> OwnLiveModels:
    """The store of live models of every replica that starts."""
    made = OwnLiveModels()
    monkeypatch.setattr("deployments.models.family.live_models_here", lambda: made)
    return made


def new(name: str = "new", **spec: str) -> LiveModel:
    source = FolderSource(folder=FOLDER / name)
    return LiveModel("names", ModelSpec(name=name, tasks=("embed",), source=source, **spec))


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


async def test_a_replica_that_starts_later_loads_what_was_ordered_behind_what_is_pinned(
    orders: OwnOrders,
) -> None:
    orders.give("one", loaded=True)
    orders.give("gone/from/the/profile", loaded=True)
    family = await with_pinned(Names(set()))
    assert await family.held() == {"pin"}
    await family.settle()
    assert await family.held() == {"pin", "one"}


async def test_a_pinned_model_that_an_order_unloaded_stays_away_from_later_replicas(
    orders: OwnOrders,
) -> None:
    orders.give("pin", loaded=False)
    family = await with_pinned(Names(set()))
    await family.settle()
    assert await family.held() == set()


async def test_a_replica_that_did_not_hear_an_order_follows_it_all_the_same(
    orders: OwnOrders,
) -> None:
    family = await with_pinned(Names(set()))
    await family.load_model(ModelOrder("one", PATIENCE_S))
    orders.give("one", loaded=False)
    await family.settle()
    assert await family.held() == {"pin"}


@pytest.mark.usefixtures("orders")
async def test_what_a_request_loaded_is_no_concern_of_orders() -> None:
    family = await with_pinned(Names(set()))
    async with family._models.use("two"):
        pass
    await family.settle()
    assert await family.held() == {"pin", "two"}


async def test_what_was_ordered_and_does_not_load_harms_nothing_else(orders: OwnOrders) -> None:
    orders.give("one", loaded=True)
    orders.give("two", loaded=True)
    family = await with_pinned(Names({"one"}))
    await family.settle()
    assert await family.held() == {"pin", "two"}


@pytest.mark.usefixtures("orders")
async def test_orders_are_answered_with_what_came_of_them() -> None:
    family = await with_pinned(Names({"two"}))
    loaded = await family.load_model(ModelOrder("one", PATIENCE_S))
    assert isinstance(loaded, ReplicaReport)
    assert {holding.model for holding in loaded.models} == {"pin", "one"}
    failed = await family.load_model(ModelOrder("two", PATIENCE_S))
    assert isinstance(failed, Problem)
    assert "files are missing" in failed.message
    report = await family.loaded_models(None)
    assert [(each.model, each.reason) for each in report.failed] == [
        ("two", "its files are missing")
    ]
    assert isinstance(await family.unload_model(ModelOrder("one", PATIENCE_S)), UnloadResult)
    assert await family.held() == {"pin"}


@pytest.mark.usefixtures("orders")
async def test_a_model_in_use_is_told_to_be_so_and_stays() -> None:
    family = await with_pinned(Names(set()))
    async with family._models.use("pin"):
        refused = await asyncio.wait_for(family.unload_model(ModelOrder("pin", 0)), PATIENCE_S)
    assert isinstance(refused, Problem)
    assert "still running" in refused.message
    assert await family.held() == {"pin"}


async def test_an_order_whose_files_take_long_to_come_holds_up_no_other_order(
    orders: OwnOrders,
) -> None:
    family = await with_pinned(Names(set(), far={"one"}))
    orders.give("one", loaded=True)
    orders.give("two", loaded=True)
    orders.give("pin", loaded=False)
    following = asyncio.create_task(family.settle())
    async with asyncio.timeout(PATIENCE_S / 2):  # the files do not come in that time
        while await family.held() != {"one", "two"}:  # noqa: ASYNC110  the first is on its way
            await asyncio.sleep(0)
    family.delivered.set()
    await following
    assert await family.held() == {"one", "two"}


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


@pytest.mark.usefixtures("orders")
async def test_a_model_that_was_stored_after_the_start_is_loaded_when_it_is_asked_for(
    live: OwnLiveModels,
) -> None:
    family = await with_pinned(Names(set()))
    live.put(new())
    async with family._models.use("new") as model:
        assert model == "new"
    assert await family.held() == {"pin", "new"}


async def test_a_replica_that_starts_later_loads_live_models_that_an_order_keeps(
    live: OwnLiveModels, orders: OwnOrders
) -> None:
    live.put(new("kept"))
    live.put(new("idle"))
    orders.give("kept", loaded=True)
    family = await with_pinned(Names(set()))
    await family.settle()
    assert await family.held() == {"pin", "kept"}


@pytest.mark.usefixtures("orders")
async def test_a_live_model_that_was_removed_leaves_replicas_that_were_not_told(
    live: OwnLiveModels,
) -> None:
    family = await with_pinned(Names(set()))
    for name in ("gone", "changed", "same"):
        live.put(new(name))
        await family.load_model(ModelOrder(name, PATIENCE_S))
    live.remove("gone")
    live.put(new("changed", dtype="float32"))
    await family.settle()
    assert await family.held() == {"pin", "same"}
    gone = await family.load_model(ModelOrder("gone", PATIENCE_S))
    assert isinstance(gone, Problem)
    assert "Ask again" in gone.message
    assert isinstance(await family.load_model(ModelOrder("changed", PATIENCE_S)), ReplicaReport)


async def test_health_checks_read_the_orders_again_only_when_one_was_given(
    orders: OwnOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read_all = 0, orders.all

    def counted() -> dict[str, bool]:
        nonlocal reads
        reads += 1
        return read_all()

    monkeypatch.setattr(orders, "all", counted)
    family = await with_pinned(Names(set()))
    for _ in range(3):
        await family.settle()
    assert reads == 1
    orders.give("one", loaded=True)
    await family.settle()
    await family.settle()
    assert reads == 2
    assert "one" in await family.held()


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
