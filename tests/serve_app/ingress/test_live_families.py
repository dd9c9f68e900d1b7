"""Keys that are bound to families change no live models of others, and their orders change nothing
before they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.live_models import LiveOptions
from serve_app.ingress import live_models
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.errors import FamilyNotAllowed
from serve_app.ingress.live_order import LiveOrder
from tests.serve_app.ingress.test_live_models import Graph

LABELS = "BertForSequenceClassification"


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    made = Graph(tmp_path)
    made.model("labels", LABELS)
    return made


def bound(graph: Graph) -> Catalog:
    catalog: Catalog = graph.app.state.services.catalog
    return catalog.restricted_to({"embeddings"})


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
