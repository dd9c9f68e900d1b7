"""Models that are stored or removed while replicas run."""

from __future__ import annotations

import pytest

from configs.live_models import LiveModel
from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.seam.live_models import OwnLiveModels
from deployments.seam.orders import OwnOrders
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ReplicaReport
from tests.deployments.models.names_family import FOLDER, PATIENCE_S, Names, with_pinned


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
