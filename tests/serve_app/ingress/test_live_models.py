"""Models by name alone: inspected by a replica, kept in the store, known to every ingress."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from ray.exceptions import RayError

from configs.detection import DetectedModel, Inspection
from configs.live_models import LiveModel
from configs.settings import Settings
from deployments.models.inspection import ModelInspector
from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.live_models import OwnLiveModels
from deployments.seam.orders import OwnOrders
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ModelStatus, ReplicaReport, UnloadResult
from serve_app.ingress import live_models
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.live_models import LiveModels
from serve_app.ingress.routes.context import Services
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE
from tests.serve_app.local_handle import PATIENCE_S, Family, LocalHandle, happens

SAFETENSORS = (2).to_bytes(8, "little") + b"{}"


class Replica(Family):
    """Inspects models truly, loads them at once, and answers with zeros."""

    def __init__(self, folder: Path, problem: Problem | None = None) -> None:
        super().__init__()
        self._inspector = ModelInspector(folder, None)
        self.answers = True
        self.problem = problem
        self.unlisted: Problem | None = None
        """What every inspection ends in."""
        self.inspections = 0
        self.loads = 0
        self.slow: frozenset[str] = frozenset()
        """The names of folders whose inspection does not end before ``release`` is set."""
        self.release = asyncio.Event()

    async def inspect_model(self, request: Inspection) -> DetectedModel | Problem:
        self.inspections += 1
        if Path(request.source.name).name in self.slow:
            self.began.set()
            await happens(self.release)
        if self.unlisted is not None:
            return self.unlisted
        return await self._inspector.inspect(request)

    async def loaded_models(self, request: None) -> ReplicaReport:
        if not self.answers:
            raise RayError
        return await super().loaded_models(request)

    async def load_model(self, order: ModelOrder) -> ReplicaReport | Problem:
        if self.problem is not None:
            return self.problem
        self.loads += 1
        self.holdings.append(ModelStatus(order.model, "warm", 7))
        return await self.loaded_models(None)

    async def unload_model(self, order: ModelOrder) -> UnloadResult:
        self.holdings = [each for each in self.holdings if each.model != order.model]
        return UnloadResult("replica-1", "node-1", 7, 0.1)

    async def embed(self, request: Any) -> EmbeddingResult:
        self.asked.append(request)
        return EmbeddingResult(np.zeros((len(request.texts), 2), np.float32), (1,), {})

    async def classify(self, request: Any) -> ClassificationResult:
        self.asked.append(request)
        return ClassificationResult(((LabelScore("glad", 0.9),),), (1,))


class Graph:
    """The house's graph, whose operator has a folder of models. Several may share a store."""

    def __init__(self, folder: Path, store: OwnLiveModels | None = None, **settings: Any) -> None:
        self.folder = folder
        self.store = store or OwnLiveModels()
        self.orders = OwnOrders()
        profile = house.profile()
        made = Settings(models_folder=folder, **settings)
        self.replica = Replica(folder)
        handles = {family.name: LocalHandle(self.replica) for family in profile.families}
        client = DeploymentClient(handles, made.request_timeout_s)
        live = LiveModels(profile, made, client, self.store, self.orders)
        catalog = Catalog(profile, made, live)
        services = Services(catalog, client, made, house.Ready(), self.orders)
        self.app: FastAPI = create_app(services, routers_of(profile))

    def model(self, name: str, architecture: str = "BertModel", **config: Any) -> None:
        """Put a model into the operator's folder."""
        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        told = {"architectures": [architecture], "model_type": "bert", **config}
        (home / "config.json").write_text(json.dumps(told))
        (home / "tokenizer.json").write_text("{}")
        (home / "model.safetensors").write_bytes(SAFETENSORS)

    async def embed(self, name: str) -> httpx.Response:
        return await house.post(
            self.app, f"{NATIVE}/embeddings", {"texts": "hello", "model_name": name}
        )

    async def order(self, name: str, body: Any = None) -> httpx.Response:
        return await house.post(self.app, f"{NATIVE}/models/{name}", body)

    async def unload(self, name: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
            return await client.delete(f"{NATIVE}/models/{name}")

    async def listed(self) -> dict[str, Any]:
        answer = await house.get(self.app, f"{NATIVE}/models")
        return {model["name"]: model for model in answer.json()["models"]}


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    monkeypatch.setattr(live_models, "FRESH_S", 0.0)  # what others store is read at once
    folder = tmp_path / "models"
    folder.mkdir()
    return Graph(folder)


async def test_a_request_that_names_an_allowed_model_is_answered_by_it(graph: Graph) -> None:
    graph.model("new")
    answer = await graph.embed("new")
    assert answer.status_code == 200
    assert answer.json()["model"] == "new"
    assert [request.model for request in graph.replica.asked] == ["new"]


async def test_the_model_is_listed_as_one_that_the_profile_does_not_name(graph: Graph) -> None:
    graph.model("org/new")
    await graph.embed("org/new")
    listed = await graph.listed()
    assert (listed["org/new"]["live"], listed["org/new"]["family"]) == (True, "embeddings")
    assert not listed[FAST]["live"]
    openai = (await house.get(graph.app, "/v1/models")).json()["data"]
    assert "org/new" in [model["id"] for model in openai]


async def test_other_replicas_of_the_ingress_know_it_without_another_inspection(
    graph: Graph,
) -> None:
    graph.model("new")
    other = Graph(graph.folder, graph.store)
    await graph.embed("new")
    assert "new" in await other.listed()
    assert (await other.embed("new")).status_code == 200
    assert other.replica.inspections == 0
    await graph.unload("new")
    assert "new" not in await other.listed()


async def test_requests_for_one_new_model_share_its_inspection(graph: Graph) -> None:
    graph.model("new")
    answers = await asyncio.gather(*(graph.embed("new") for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert graph.replica.inspections == 1


@pytest.mark.parametrize(
    "name", ["no/such", "missing", "..", "../models", "/etc", "a/b/c", ".hidden", "house/..", "*"]
)
async def test_every_other_name_is_a_404_that_says_what_is_allowed(graph: Graph, name: str) -> None:
    (graph.folder / ".hidden").mkdir()
    answer = await graph.embed(name)
    assert answer.status_code == 404
    details = answer.json()["details"]
    assert "house/vectors" in details["available"]
    shown = "(a folder of the operator's)"
    assert details["allowed"] == [f"* {shown}", f"*/* {shown}"]


async def test_a_name_that_leads_nowhere_costs_one_inspection(graph: Graph) -> None:
    for _ in range(3):
        assert (await graph.embed("missing")).status_code == 404
    assert graph.replica.inspections == 1


async def test_what_no_family_serves_is_a_400_that_says_what_it_is(graph: Graph) -> None:
    graph.model("endings", "BertForMultipleChoice")
    for _ in range(2):
        answer = await graph.embed("endings")
        assert answer.status_code == 400
        assert "BertForMultipleChoice, which chooses between endings" in answer.json()["message"]
        assert list(answer.json()["details"]["field_errors"]) == ["model_name"]
        body = {"input": "hello", "model": "endings"}
        openai = await house.post(graph.app, "/v1/embeddings", body)
        assert openai.json()["error"]["param"] == "model"
    assert graph.replica.inspections == 1


async def test_a_live_model_does_only_its_own_tasks_and_is_never_the_default(graph: Graph) -> None:
    graph.model("labels", "BertForSequenceClassification")
    assert (await graph.embed("labels")).status_code == 404
    body = {"texts": "hello"}
    answer = await house.post(graph.app, f"{NATIVE}/classify", body)
    assert answer.status_code == 200
    assert [request.model for request in graph.replica.asked] == ["house/mood"]


def embeddings_step(name: str, model: str) -> dict[str, Any]:
    return {"id": name, "task": "embeddings", "model_name": model, "inputs": {"texts": "hello"}}


async def test_a_step_of_a_graph_may_name_a_new_model(graph: Graph) -> None:
    graph.model("new")
    body = {"steps": [embeddings_step("v", "new")]}
    answer = await house.post(graph.app, f"{NATIVE}/graph", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["steps"][0]["status"] == "ok"


async def test_a_graph_whose_model_cannot_be_looked_up_now_says_so(tmp_path: Path) -> None:
    graph = Graph(tmp_path)
    graph.replica.unlisted = Problem("unavailable", "The model hub does not answer.")
    body = {"steps": [embeddings_step("v", "new")]}
    answer = await house.post(graph.app, f"{NATIVE}/graph", body)
    assert answer.status_code == 503
    assert answer.json()["message"] == "The model hub does not answer."


async def test_a_graph_names_the_step_whose_model_cannot_be_served(graph: Graph) -> None:
    graph.model("new", "BertForMultipleChoice")
    steps = [embeddings_step("v", FULL), embeddings_step("w", "new")]
    answer = await house.post(graph.app, f"{NATIVE}/graph", {"steps": steps})
    assert answer.status_code == 400
    assert list(answer.json()["details"]["field_errors"]) == ["steps.1.model_name"]
    assert "a BertForMultipleChoice" in answer.json()["message"]


async def test_a_graph_of_too_many_steps_looks_no_model_up(graph: Graph) -> None:
    steps = [embeddings_step(f"s{i}", f"model-{i}") for i in range(33)]
    answer = await house.post(graph.app, f"{NATIVE}/graph", {"steps": steps})
    assert answer.status_code == 400
    assert list(answer.json()["details"]["field_errors"]) == ["steps"]
    assert graph.replica.inspections == 0


async def test_a_graph_whose_models_are_not_found_in_its_time_is_a_504(tmp_path: Path) -> None:
    graph = Graph(tmp_path, graph_timeout_s=0.05)
    graph.replica.slow = frozenset({"new"})
    body = {"steps": [embeddings_step("v", "new")]}
    answer = await asyncio.wait_for(house.post(graph.app, f"{NATIVE}/graph", body), PATIENCE_S / 2)
    assert answer.status_code == 504
    graph.replica.release.set()


async def test_an_order_loads_a_model_and_is_kept(graph: Graph) -> None:
    graph.model("new")
    assert (await graph.order("new")).status_code == 200
    assert graph.orders.all() == {"new": True}
    assert graph.replica.loads == 1


async def test_an_order_to_unload_removes_the_model_and_its_order(graph: Graph) -> None:
    graph.model("new")
    await graph.order("new")
    answer = await graph.unload("new")
    assert answer.json()["message"] == "Model new unloaded successfully"
    assert graph.orders.all() == {}
    assert graph.store.all() == {}
    assert (await graph.unload("new")).status_code == 404
    assert (await graph.embed("new")).status_code == 200


async def test_an_order_says_how_a_model_is_served(graph: Graph) -> None:
    graph.model("labels", "BertForSequenceClassification")
    body = {"task": "topic", "dtype": "float32", "source": {"folder": "labels"}}
    assert (await graph.order("topics", body)).status_code == 200
    spec = graph.store.all()["topics"].spec
    assert (spec.tasks, spec.dtype) == (("topic",), "float32")


async def test_an_order_does_not_wait_behind_the_inspections_of_requests(graph: Graph) -> None:
    names = [f"slow-{i}" for i in range(live_models.MAX_INSPECTIONS + 1)]
    graph.replica.slow = frozenset(names)
    graph.model("new")
    waiting = [asyncio.ensure_future(graph.embed(name)) for name in names]
    await happens(graph.replica.began)
    answer = await asyncio.wait_for(graph.order("new"), PATIENCE_S)
    assert answer.status_code == 200
    assert not any(each.done() for each in waiting)
    graph.replica.release.set()
    await asyncio.gather(*waiting)


async def test_while_too_many_new_names_are_looked_up_another_is_a_503(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_models, "MAX_LOOKUPS", 1)
    graph.replica.slow = frozenset({"first"})
    graph.model("first")
    graph.model("second")
    first = asyncio.ensure_future(graph.embed("first"))
    await happens(graph.replica.began)
    answer = await graph.embed("second")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    same = asyncio.ensure_future(graph.embed("first"))
    graph.replica.release.set()
    assert [(await each).status_code for each in (first, same)] == [200, 200]
    assert (await graph.embed("second")).status_code == 200


async def test_a_loaded_model_is_not_changed_by_another_order(graph: Graph) -> None:
    graph.model("new")
    await graph.order("new")
    assert (await graph.order("new")).status_code == 200
    answer = await graph.order("new", {"dtype": "float32"})
    assert answer.status_code == 400
    assert "unload it first" in answer.json()["message"]


@pytest.mark.parametrize(
    ("name", "body", "status", "field"),
    [
        ("new", {"task": "chat"}, 400, "task"),
        ("new", {"dtype": "float8"}, 400, "dtype"),
        ("new", {"unknown": 1}, 400, "unknown"),
        ("new", {"source": {}}, 400, "source"),
        ("new", {"source": {"hub": "a/b", "folder": "c"}}, 400, "source"),
        ("new", {"source": {"folder": "/etc"}}, 404, None),
        ("new", {"source": {"folder": "../secret"}}, 404, None),
        ("new", {"source": {"hub": "any/model"}}, 404, None),
        ("x/y/z", {"source": {"folder": "new"}}, 404, None),
        ("x/y²", {"source": {"folder": "new"}}, 404, None),
        (FULL, {"dtype": "float32"}, 400, "dtype"),
        (FULL, {"task": "embed"}, 400, "task"),
    ],
)
async def test_a_wish_that_is_not_granted_names_its_field(
    graph: Graph, name: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    graph.model("new")
    answer = await graph.order(name, body)
    assert answer.status_code == status, answer.text
    if field:
        assert field in answer.json()["details"]["field_errors"]


async def test_a_model_that_does_not_load_is_tried_again_by_the_next_order(graph: Graph) -> None:
    graph.model("new")
    graph.replica.problem = Problem("unavailable", "The model new could not be loaded.")
    assert (await graph.order("new")).status_code == 503
    assert graph.orders.all() == {}
    graph.replica.problem = None
    assert (await graph.order("new")).status_code == 200


async def test_when_there_are_too_many_the_oldest_that_is_not_loaded_is_forgotten(
    tmp_path: Path,
) -> None:
    graph = Graph(tmp_path, max_live_models=2)
    for name in ("first", "second", "third"):
        graph.model(name)
    assert (await graph.order("first")).status_code == 200
    assert (await graph.embed("second")).status_code == 200
    assert (await graph.embed("third")).status_code == 200
    assert set(graph.store.all()) == {"first", "third"}
    assert (await graph.order("third")).status_code == 200
    answer = await graph.embed("second")
    assert answer.status_code == 503
    assert "unload one of them first" in answer.json()["message"]


async def test_a_model_whose_replica_does_not_answer_counts_as_loaded(tmp_path: Path) -> None:
    graph = Graph(tmp_path, max_live_models=1)
    graph.model("first")
    graph.model("second")
    assert (await graph.order("first")).status_code == 200
    graph.orders.withdraw("first")
    graph.replica.answers = False
    assert (await graph.embed("second")).status_code == 503
    assert (await graph.order("first", {"dtype": "float32"})).status_code == 400
    assert set(graph.store.all()) == {"first"}


class Away(OwnLiveModels):
    """A store that cannot be reached while ``away``."""

    away = False

    def version(self) -> bytes:
        if self.away:
            raise RayError
        return super().version()

    def put(self, model: LiveModel) -> None:
        if self.away:
            raise RayError
        super().put(model)


async def test_while_the_store_is_away_known_models_are_served_and_new_ones_are_a_503(
    graph: Graph,
) -> None:
    store = Away()
    graph = Graph(graph.folder, store)
    graph.model("known")
    graph.model("new")
    assert (await graph.embed("known")).status_code == 200
    store.away = True
    assert (await graph.embed("known")).status_code == 200
    assert (await graph.embed("new")).status_code == 503
