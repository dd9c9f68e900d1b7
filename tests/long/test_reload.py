"""Streams that are longer than HAProxy's old life: replicas of the ingress change meanwhile."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench.peers.running import free_port
from serve_app.launcher.auth import TOKEN_PATH, read_token
from serve_app.launcher.dashboard import Dashboard
from tests.e2e.conftest import wait_until
from tests.e2e.test_launcher import Launcher

TICKS = 150
"""Seconds: more than the 120 after which Serve ends a HAProxy that a reload replaced."""


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """A graph without models, whose front streams a number a second."""
    started = Launcher(tmp_path, free_port())
    yield started
    if started.process.poll() is None:
        started.process.terminate()
        started.process.wait(120)


def test_a_long_stream_survives_that_replicas_of_the_ingress_come_and_go(
    launcher: Launcher, tmp_path: Path
) -> None:
    run = launcher.wait_until_ready()
    config = yaml.safe_load((tmp_path / "serve.yaml").read_text())
    front = {"host": "127.0.0.1", "port": run.port, "request_timeout_s": None}

    token = read_token({TOKEN_PATH: run.token_path})
    with closing(Dashboard(run.dashboard_url, token)) as dashboard, ThreadPoolExecutor(1) as beside:
        stream = beside.submit(_ticks, launcher.url)
        _set_replicas(dashboard, config | {"http_options": front}, 3)
        text = stream.result(TICKS + 120)
    assert text.splitlines() == [str(number) for number in range(TICKS)]


def _set_replicas(dashboard: Dashboard, config: dict[str, Any], number: int) -> None:
    """Change how many replicas the ingress has, and wait until they are there."""
    changed = copy.deepcopy(config)
    (application,) = changed["applications"]
    application["deployments"] = [{"name": "Ingress", "num_replicas": number}]
    dashboard.deploy(changed)

    def are_there() -> bool:
        (own,) = dashboard.state().only(frozenset({application["name"]})).applications
        (ingress,) = (each for each in own.deployments if each.name == "Ingress")
        return own.is_healthy and ingress.running == number

    wait_until(are_there, 120)


def _ticks(url: str) -> str:
    answer = httpx.get(f"{url}/ticks", params={"seconds": TICKS}, timeout=TICKS, trust_env=False)
    assert answer.status_code == 200
    return answer.text
