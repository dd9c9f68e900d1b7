"""A flood runs in a process of its own, and counts its answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click
import pytest

from bench.flood import Flood
from bench.heavy import Request
from bench.peers.running import Server, free_port


@pytest.fixture
def stub() -> Server:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.stub:app", "--port", str(port)]
    return Server("stub", "none", command, port, "/health")


def wait_until(done: Callable[[], bool]) -> None:
    """Fails after a minute."""
    until = time.monotonic() + 60
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_flood_counts_its_answers(stub: Server) -> None:
    request = Request("/v1/embeddings", {"model": "stub", "input": ["a"]})
    with stub.running(), Flood(stub.url, 4, request, {}).running() as flood:
        wait_until(lambda: flood.answered > 20)
        assert flood.refused == 0


def test_a_flood_that_gets_a_wrong_status_fails(stub: Server) -> None:
    with (
        stub.running(),
        pytest.raises(click.ClickException, match="other than 200"),
        Flood(stub.url, 4, Request("/nowhere", {}), {}).running() as flood,
    ):
        wait_until(lambda: not flood._process.is_alive())
