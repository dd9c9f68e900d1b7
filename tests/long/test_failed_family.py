"""A family that lost its replica and cannot start again: it says so, and the others go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import started_graph, wait_until
from tests.toy.fragile import OBSTACLE, SECRET

ROOT = Path(__file__).parents[2]
SPELL = "/api/v1/huggingface/spell"
FAILS_S = 180.0
"""Serve tries three times, each after a longer pause, before it says that a deployment failed."""


@dataclass(frozen=True)
class FragileGraph:
    """A graph, and the file that keeps its family from starting."""

    client: httpx.Client
    obstacle: Path

    def spell(self, model: str, timeout_s: float = 60.0) -> httpx.Response:
        headers = {"X-Request-Timeout": f"{timeout_s:g}"}
        body = {"texts": "stressed", "model_name": model}
        return self.client.post(SPELL, json=body, headers=headers)

    def family(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/health").json()["families"]["fragile"]
        return found


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FragileGraph]:
    folder = tmp_path_factory.mktemp("fragile")
    profile = ROOT / "tests" / "toy" / "fragile.yaml"
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        OBSTACLE: str(folder / "obstacle"),
    }
    with (
        started_graph(folder / "up.log", "--profile", str(profile), **environment) as url,
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):
        yield FragileGraph(client, folder / "obstacle")


def replica() -> psutil.Process:
    found = psutil.Process().children(recursive=True)
    name = "ServeReplica:prsm:Fragile"
    return next(each for each in found if name in " ".join(each.cmdline()))


def test_a_family_that_cannot_start_is_refused_early_and_comes_back(graph: FragileGraph) -> None:
    assert graph.spell("toy/fragile").json()["spelled"] == "desserts"
    graph.obstacle.touch()
    replica().kill()
    wait_until(lambda: graph.family()["status"] == "failed", FAILS_S)

    refused = graph.spell("toy/fragile")
    assert refused.status_code == 503, "it would be a 504 after the wait until its deadline"
    assert refused.json()["error_type"] == "service_unavailable"
    assert int(refused.headers["retry-after"]) > 0

    health = graph.client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert graph.client.get("/health/readiness").status_code == 200
    assert graph.spell("toy/quiet").json()["spelled"] == "desserts"
    assert SECRET not in refused.text + health.text

    graph.obstacle.unlink()
    wait_until(lambda: graph.spell("toy/fragile").status_code == 200, FAILS_S)
    wait_until(lambda: graph.family()["status"] == "ready")
