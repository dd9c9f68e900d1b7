"""Steps of a graph that name models nobody named before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deployments.seam.problems import Problem
from serve_app.ingress import live_models
from tests.serve_app import house
from tests.serve_app.house import FULL, NATIVE
from tests.serve_app.ingress.live_graph import Graph
from tests.serve_app.local_handle import PATIENCE_S


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    monkeypatch.setattr(live_models, "FRESH_S", 0.0)  # what others store is read at once
    folder = tmp_path / "models"
    folder.mkdir()
    return Graph(folder)


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
