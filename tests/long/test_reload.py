"""Streams that are longer than HAProxy's old life: replicas of the ingress change meanwhile."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench.changes_seen import replicas
from bench.peers.running import free_port
from serve_app.launcher.auth import TOKEN_PATH, read_token
from serve_app.launcher.dashboard import Dashboard
from tests.e2e.conftest import wait_until
from tests.e2e.test_launcher import Launcher

TICKS = 150
"""Seconds: more than the 120 after which Serve ends a HAProxy that a reload replaced."""

IDLE_S = (0, 8, 20)
"""How long connections are used again after the last old replica has ended."""


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


def test_connections_that_are_idle_while_the_ingress_is_replaced_are_answered_once_more(
    launcher: Launcher, tmp_path: Path
) -> None:
    """The old HAProxy closes none by itself: a client might be writing to it at that moment."""
    run = launcher.wait_until_ready()
    config = yaml.safe_load((tmp_path / "serve.yaml").read_text())
    config |= {"http_options": {"host": "127.0.0.1", "port": run.port, "request_timeout_s": None}}
    token = read_token({TOKEN_PATH: run.token_path})
    with closing(Dashboard(run.dashboard_url, token)) as dashboard:
        _set_replicas(dashboard, config, 2)
        idle = [HTTPConnection("127.0.0.1", run.port, timeout=60) for _ in IDLE_S]
        assert [_asked(each) for each in idle] == [(200, None)] * len(idle)
        old = replicas(dashboard.details())["Ingress"]
        _set_replicas(dashboard, config, 2, ray_actor_options={"num_cpus": 0.05})
        wait_until(lambda: old.isdisjoint(replicas(dashboard.details())["Ingress"]), 120)
        gone = time.monotonic()
        for connection, idle_s in zip(idle, IDLE_S, strict=True):
            time.sleep(max(0.0, gone + idle_s - time.monotonic()))
            assert connection.sock is not None  # http.client opens no other one
            assert _asked(connection) == (200, "close")
        with closing(HTTPConnection("127.0.0.1", run.port, timeout=60)) as new:
            assert _asked(new) == (200, None)


def _asked(connection: HTTPConnection) -> tuple[int, str | None]:
    """The status of an answer, and what it says of its connection."""
    connection.request("GET", "/health/readiness")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")


def _set_replicas(
    dashboard: Dashboard, config: dict[str, Any], number: int, **options: object
) -> None:
    """Change how many replicas the ingress has, or other ``options`` of its deployment, and wait
    until they are there."""
    changed = copy.deepcopy(config)
    (application,) = changed["applications"]
    application["deployments"] = [{"name": "Ingress", "num_replicas": number, **options}]
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
