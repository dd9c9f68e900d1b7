"""Orders over HTTP: to every replica, the truth about each, and nothing woken but by a load."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from configs.settings import Settings
from deployments.seam.orders import OwnOrders
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ModelStatus, ReplicaReport, UnloadResult
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE
from tests.serve_app.local_handle import Family, LocalHandle, happens

STREAM = {"accept": "text/event-stream"}
BROKEN = Problem("unavailable", f"The model {FULL} could not be loaded: its files are missing.")


class Replica(Family):
    """Loads for as long as ``gate`` is shut, then holds the model; fails with ``problem``."""

    def __init__(self, name: str, problem: Problem | None = None) -> None:
        super().__init__()
        self.replica = name
        self.problem = problem
        self.gate = asyncio.Event()
        self.gate.set()
        self.hangs = False
        self.surveyed = 0
        self.looked_at = asyncio.Event()
        self.surveys = asyncio.Event()
        self.surveys.set()

    async def load_model(self, order: ModelOrder) -> ReplicaReport | Problem:
        self.asked.append(order)
        self.holdings = [ModelStatus(order.model, "loading")]
        self.began.set()
        await self.gate.wait()
        self.holdings = []
        if self.problem is not None:
            return self.problem
        self.holdings = [ModelStatus(order.model, "warm", 7, 3, 1.5, kv_cache_bytes=2)]
        return await self.loaded_models(None)

    async def unload_model(self, order: ModelOrder) -> UnloadResult:
        freed = sum(holding.host_bytes for holding in self.holdings)
        self.holdings = []
        return UnloadResult(self.replica, "node-1", freed, 0.5)

    async def loaded_models(self, request: None) -> ReplicaReport:
        self.surveyed += 1
        self.looked_at.set()
        if self.hangs:
            await asyncio.Event().wait()
        await self.surveys.wait()
        return await super().loaded_models(request)


class House:
    """The house's graph, with ``replicas`` of its generation family."""

    def __init__(self, *replicas: Replica) -> None:
        profile = house.profile()
        settings = Settings()
        waking = replicas[0] if replicas else Replica("woken")
        self.woken = waking
        handles = {family.name: LocalHandle(Family(), replicas=[]) for family in profile.families}
        handles["generation"] = LocalHandle(waking, replicas=replicas)
        self.orders = OwnOrders()
        calls = DeploymentClient(handles, settings.request_timeout_s)
        services = Services(Catalog(profile, settings), calls, settings, house.Ready(), self.orders)
        self.app: FastAPI = create_app(services, routers_of(profile))

    async def load(self, name: str = FULL, **headers: str) -> httpx.Response:
        return await house.post(self.app, f"{NATIVE}/models/{name}", None, **headers)

    async def unload(self, name: str = FULL) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
            return await client.delete(f"{NATIVE}/models/{name}")

    async def loaded(self) -> Any:
        return (await house.get(self.app, f"{NATIVE}/models/loaded")).json()


async def test_a_model_is_loaded_on_every_replica_and_the_order_is_kept() -> None:
    graph = House(Replica("a"), Replica("b"))
    body = (await graph.load()).json()
    assert body["model"] == FULL
    assert [(each["replica"], each["host_bytes"]) for each in body["replicas"]] == [
        ("a", 7),
        ("b", 7),
    ]
    assert graph.orders.all() == {FULL: True}


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_an_order_needs_no_body_whatever_the_client_calls_it(media_type: str) -> None:
    graph = House(Replica("a"))
    transport = httpx.ASGITransport(graph.app)
    headers = {"content-type": media_type} if media_type else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        answer = await client.post(f"{NATIVE}/models/{FULL}", headers=headers)
        filled = await client.post(
            f"{NATIVE}/models/{FULL}", headers={"content-type": "text/plain"}, content=b"{}"
        )
    assert (answer.status_code, filled.status_code) == (200, 415)


async def test_an_alias_is_the_model() -> None:
    graph = House(Replica("a"))
    assert (await graph.load("fast")).json()["model"] == FAST
    assert graph.orders.all() == {FAST: True}


async def test_progress_is_one_event_a_stage_of_a_replica_and_then_the_result() -> None:
    replica = Replica("a")
    replica.gate.clear()
    loading = asyncio.create_task(House(replica).load(**STREAM))
    await happens(replica.began)
    replica.gate.set()
    response = await loading
    assert response.headers["content-type"].startswith("text/event-stream")
    told = house.events(response.text)
    assert [name for name, _ in told][-1] == "result"
    stages = [data["stage"] for name, data in told if name == "progress"]
    assert stages[-1] == "warm"
    assert len(stages) == len(set(stages))
    assert told[-1][1]["replicas"][0]["host_bytes"] == 7


@pytest.mark.parametrize("headers", [{}, STREAM])
async def test_a_model_that_cannot_load_is_a_503_with_its_reason_and_no_order(
    headers: dict[str, str],
) -> None:
    graph = House(Replica("a", BROKEN))
    response = await graph.load(**headers)
    assert "its files are missing" in response.text
    if not headers:
        assert response.status_code == 503
    assert graph.orders.all() == {}


async def test_a_family_that_sleeps_is_woken_by_an_order_to_load_alone() -> None:
    graph = House()
    assert (await graph.loaded())["loaded_models"] == []
    assert (await graph.unload()).status_code == 200
    assert graph.woken.asked == []
    assert [each["replica"] for each in (await graph.load()).json()["replicas"]] == ["woken"]


async def test_a_model_is_unloaded_from_every_replica_and_stays_away() -> None:
    graph = House(Replica("a"), Replica("b"))
    await graph.load()
    body = (await graph.unload()).json()
    assert body["message"] == f"Model {FULL} unloaded successfully"
    assert [each["freed_bytes"] for each in body["replicas"]] == [7, 7]
    assert (await graph.loaded())["loaded_models"] == []
    assert graph.orders.all() == {FULL: False}


async def test_unloading_what_is_not_loaded_is_a_success() -> None:
    graph = House(Replica("a"))
    assert [(await graph.unload()).status_code for _ in range(2)] == [200, 200]


async def test_names_that_are_not_served_are_404_and_list_what_is() -> None:
    graph = House(Replica("a"))
    for response in (await graph.load("no/such"), await graph.unload("no/such")):
        assert response.status_code == 404
        assert FULL in response.json()["details"]["available"]
    assert graph.orders.all() == {}


async def test_what_is_in_memory_is_told_by_replica() -> None:
    graph = House(Replica("a"), Replica("b"))
    await graph.load()
    body = await graph.loaded()
    assert body["loaded_models"] == [FULL]
    usage = body["memory_usage"]
    assert usage["loaded_models"] == 1
    assert usage["replicas"][1] == {
        "replica": "b",
        "node": "node-1",
        "model": FULL,
        "host_bytes": 7,
        "gpu_bytes": 3,
        "kv_cache_bytes": 2,
    }
    assert usage["memory"]["cuda"] == {"allocated": 0, "cached": 0, "max_allocated": 0}
    assert usage["unanswered"] == []


async def test_a_replica_that_hangs_is_named_and_hides_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serve_app.ingress.cluster.cluster_models.REPORT_TIMEOUT_S", 0.05)
    well, ill = Replica("well"), Replica("ill")
    graph = House(well, ill)
    await graph.load()
    ill.hangs = True
    usage = (await graph.loaded())["memory_usage"]
    assert [each["replica"] for each in usage["replicas"]] == ["well"]
    assert usage["unanswered"] == ["generation"]


async def test_the_list_of_models_tells_where_each_is_loaded() -> None:
    graph = House(Replica("a"))
    await graph.load()
    listed = (await house.get(graph.app, f"{NATIVE}/models")).json()["models"]
    places = {model["name"]: [each["replica"] for each in model["loaded"]] for model in listed}
    assert (places[FULL], places[FAST]) == (["a"], [])
    assert "logit_bias" in next(m for m in listed if m["name"] == FULL)["supported"]


@pytest.fixture
def _surveys_stay_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.ingress.routes.models.FRESH_S", 3600)


surveys_stay_fresh = pytest.mark.usefixtures("_surveys_stay_fresh")


@surveys_stay_fresh
async def test_everybody_who_asks_at_the_same_time_shares_one_survey() -> None:
    replica = Replica("a")
    graph = House(replica)
    await graph.load()
    replica.surveyed = 0
    replica.looked_at.clear()
    replica.surveys.clear()
    asking = [asyncio.ensure_future(graph.loaded()) for _ in range(20)]
    listing = [asyncio.ensure_future(house.get(graph.app, f"{NATIVE}/models")) for _ in range(20)]
    await happens(replica.looked_at)
    asking.pop().cancel()  # who leaves stops it for nobody else
    replica.surveys.set()
    assert {tuple((await each)["loaded_models"]) for each in asking} == {(FULL,)}
    assert {each.status_code for each in await asyncio.gather(*listing)} == {200}
    assert (await graph.loaded())["loaded_models"] == [FULL]
    assert replica.surveyed == 1


@surveys_stay_fresh
async def test_an_order_that_was_answered_is_seen_at_once() -> None:
    graph = House(Replica("a"))
    assert (await graph.loaded())["loaded_models"] == []
    await graph.load()
    assert (await graph.loaded())["loaded_models"] == [FULL]
    await graph.unload()
    assert (await graph.loaded())["loaded_models"] == []


@surveys_stay_fresh
async def test_a_survey_from_before_an_order_is_not_what_comes_after_it() -> None:
    replica = Replica("a")
    graph = House(replica)
    replica.surveys.clear()
    earlier = asyncio.ensure_future(graph.loaded())
    await happens(replica.looked_at)
    loading = asyncio.ensure_future(graph.load())
    await happens(replica.began)
    replica.surveys.set()
    await loading
    assert (await graph.loaded())["loaded_models"] == [FULL]
    await earlier


async def test_what_is_no_longer_fresh_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.ingress.routes.models.FRESH_S", 0)
    replica = Replica("a")
    graph = House(replica)
    for _ in range(3):
        await graph.loaded()
    assert replica.surveyed == 3
