"""Keys that are bound to families add and change no live models of others, and have none inspected
where what they want tells that it is another family's."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from configs.live_models import LiveOptions
from serve_app.ingress import live_models
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.errors import FamilyNotAllowed, ModelNotFound
from serve_app.ingress.keys.records import KeyTerms
from serve_app.ingress.keys.store import KeyStore
from serve_app.ingress.keys.tables import LAYOUT
from serve_app.ingress.live_order import LiveOrder
from serve_app.ingress.sql.database import Database
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.ingress.live_graph import Graph

LABELS = "BertForSequenceClassification"


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    made = Graph(tmp_path)
    made.model("labels", LABELS)
    return made


def bound(graph: Graph) -> Catalog:
    catalog: Catalog = graph.app.state.services.catalog
    return catalog.restricted_to({"embeddings"})


async def test_a_task_of_other_families_has_no_model_inspected(graph: Graph) -> None:
    for tasks in (("sentiment",), ("zero_shot", "topic")):
        with pytest.raises(FamilyNotAllowed):
            await bound(graph).resolve_first(tasks, "labels")
    with pytest.raises(FamilyNotAllowed):
        await bound(graph).ordered("labels", LiveOrder(LiveOptions(task="sentiment")))
    assert graph.replica.inspections == 0
    with pytest.raises(ModelNotFound):  # of a name that leads nowhere nothing else is said
        await bound(graph).resolve("sentiment", "no/such/model")


async def test_a_key_for_families_that_serve_no_live_models_has_none_inspected(
    graph: Graph,
) -> None:
    catalog: Catalog = graph.app.state.services.catalog
    with pytest.raises(FamilyNotAllowed):
        await catalog.restricted_to({"vision"}).find("labels")
    assert graph.replica.inspections == 0


async def test_a_model_that_turns_out_to_be_of_another_family_is_not_added(graph: Graph) -> None:
    catalog = bound(graph)
    for _ in range(3):
        with pytest.raises(FamilyNotAllowed):
            await catalog.find("labels")
    assert graph.replica.inspections == 1
    assert graph.store.all() == {}
    assert (await graph.app.state.services.catalog.find("labels")).family == "classification"


async def test_a_model_of_its_own_family_is_added(graph: Graph) -> None:
    graph.model("vectors")
    assert (await bound(graph).resolve("embed", "vectors")).name == "vectors"
    assert set(graph.store.all()) == {"vectors"}


async def test_a_step_with_a_new_model_of_another_family_fails_alone(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/keys.sqlite3"
    graph = Graph(tmp_path / "models", keys_url=url)
    graph.model("labels", LABELS)
    graph.model("vectors")
    store = KeyStore(Database(make_url(url), LAYOUT))
    key = await store.create("ada", KeyTerms(frozenset({"inference"}), frozenset({"embeddings"})))
    steps = [
        {"id": "mood", "task": "classify", "inputs": {"texts": "a"}, "model_name": "labels"},
        {"id": "made", "task": "embeddings", "inputs": {"texts": "a"}, "model_name": "vectors"},
    ]
    answer = await house.post(graph.app, f"{NATIVE}/graph", {"steps": steps}, **{"x-api-key": key})
    mood, made = answer.json()["steps"]
    assert (mood["error"]["error_type"], made["status"]) == ("authorization_error", "ok")
    assert set(graph.store.all()) == {"vectors"}
    await store.close()
    await graph.app.state.policy.keys.close()


async def test_no_order_adds_a_model_of_another_family(graph: Graph) -> None:
    with pytest.raises(FamilyNotAllowed):
        await bound(graph).ordered("labels", LiveOrder())
    assert graph.store.all() == {}


@pytest.mark.parametrize(
    "order",
    [LiveOrder(LiveOptions(dtype="float32")), LiveOrder(folder="vectors")],
    ids=["otherwise", "to its own family"],
)
async def test_no_order_changes_a_model_of_another_family(graph: Graph, order: LiveOrder) -> None:
    graph.model("vectors")
    await graph.app.state.services.catalog.ordered("labels", LiveOrder())
    before = graph.store.all()
    with pytest.raises(FamilyNotAllowed):
        await bound(graph).ordered("labels", order)
    assert graph.store.all() == before


async def test_nobody_unloads_a_model_of_another_family_that_is_new(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica of the ingress has added it since this one read the store."""
    beside = Graph(graph.folder, graph.store)
    monkeypatch.setattr(live_models, "FRESH_S", 3600.0)
    await bound(beside).refresh()
    await graph.app.state.services.catalog.ordered("labels", LiveOrder())
    with pytest.raises(FamilyNotAllowed):
        await bound(beside).removed("labels")
    assert set(graph.store.all()) == {"labels"}
