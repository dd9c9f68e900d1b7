"""What replicas do with orders: those they hear, and those written before they started."""

from __future__ import annotations

import asyncio

import pytest

from deployments.seam.orders import OwnOrders
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ReplicaReport, UnloadResult
from tests.deployments.models.names_family import PATIENCE_S, Names, with_pinned


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
