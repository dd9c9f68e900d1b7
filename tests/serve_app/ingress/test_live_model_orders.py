"""Orders to load and unload models by name alone, and what they wish for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deployments.seam.problems import Problem
from serve_app.ingress import live_models
from tests.serve_app.house import FULL
from tests.serve_app.ingress.live_graph import Graph
from tests.serve_app.local_handle import PATIENCE_S, happens


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    monkeypatch.setattr(live_models, "FRESH_S", 0.0)  # what others store is read at once
    folder = tmp_path / "models"
    folder.mkdir()
    return Graph(folder)


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
