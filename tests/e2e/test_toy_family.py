"""The example family runs as a real graph, started from its profile alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.peers.running import free_port
from tests.e2e.conftest import STOP_TIMEOUT_S, wait_until_ready

ROOT = Path(__file__).parents[2]
NATIVE = "/api/v1/huggingface"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The toy graph, for as long as this module's tests last."""
    port = free_port()
    profile = ROOT / "tests" / "toy" / "profile.yaml"
    log = tmp_path_factory.mktemp("toy") / "up.log"
    search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "serve_app.cli", "up", "--profile", str(profile)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": search},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_TIMEOUT_S)
    assert code == 0, log.read_text()


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
