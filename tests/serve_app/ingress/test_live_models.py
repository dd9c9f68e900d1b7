"""Models by name alone: inspected by a replica, kept in the store, known to every ingress."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ray.exceptions import RayError

from configs.live_models import LiveModel
from deployments.seam.live_models import OwnLiveModels
from serve_app.ingress import live_models
from tests.serve_app import house
from tests.serve_app.house import FAST, NATIVE
from tests.serve_app.ingress.live_graph import Graph
from tests.serve_app.local_handle import happens


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
