"""The example family runs as a real graph, started from its profile alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import started_graph

ROOT = Path(__file__).parents[2]
NATIVE = "/api/v1/huggingface"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The toy graph, for as long as this module's tests last."""
    log = tmp_path_factory.mktemp("toy") / "up.log"
    profile = ROOT / "tests" / "toy" / "profile.yaml"
    search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with started_graph(log, "--profile", str(profile), PYTHONPATH=search) as url:
        yield url


def test_its_route_and_its_graph_step_answer_over_http(url: str) -> None:
    steps = [
        {"id": "once", "task": "spell", "inputs": {"texts": "stressed"}},
        {"id": "twice", "task": "spell", "inputs": {"texts": "$once.spelled"}},
    ]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        single = client.post(f"{NATIVE}/spell", json={"texts": "stressed"})
        assert single.json()["spelled"] == "desserts"
        graph = client.post(f"{NATIVE}/graph", json={"steps": steps}).json()
        assert graph["outputs"]["twice"]["spelled"] == "stressed"
        (model,) = {step["model"] for step in graph["steps"]}
        assert model == "toy/quiet"
