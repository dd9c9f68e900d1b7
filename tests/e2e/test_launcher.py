"""Real starts of a graph without models: it answers while it runs and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from bench.peers.running import free_port
from serve_app.launcher import ports, processes, runs

LIMIT_S = 300.0


class Launcher:
    """A process of `prsm-serve up`, with its output in a file."""

    def __init__(self, directory: Path, port: int, *options: str, **arguments: object) -> None:
        application = {"name": "stub", "import_path": "launcher_stub:build", "args": arguments}
        config = directory / "serve.yaml"
        config.write_text(yaml.safe_dump({"applications": [application]}))
        self.url = f"http://127.0.0.1:{port}"
        self.log = directory / "up.log"
        search = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        command = [sys.executable, "-m", "serve_app.cli", "up"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--config", str(config), "--port", str(port), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ
                | {
                    "PYTHONPATH": os.pathsep.join(search),
                    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
                },
            )

    def wait_until_ready(self) -> runs.RunRecord:
        """Wait until the output says that the graph is ready; returns the start's record."""
        wait_for(lambda: "Ctrl-C to stop" in self.output() or self.process.poll() is not None)
        assert self.process.poll() is None, self.output()
        (run,) = (r for r in live_runs() if r.launcher_pid == self.process.pid)
        return run

    def stop(self, number: signal.Signals) -> int:
        """Send a signal, and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=LIMIT_S)

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    """Starts launchers; those that a failing test leaves are ended."""
    started: list[Launcher] = []

    def start_one(port: int, *options: str, **arguments: object) -> Launcher:
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(Launcher(directory, port, *options, **arguments))
        return started[-1]

    yield start_one
    for launcher in started:
        if launcher.process.poll() is None:
            launcher.stop(signal.SIGTERM)


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    return free_port()


def test_a_start_that_is_stopped_before_its_graph_is_up_ends_with_0_too(
    start: Callable[..., Launcher], port: int
) -> None:
    launcher = start(port)
    wait_for(lambda: "deploying" in launcher.output() or launcher.process.poll() is not None)
    (run,) = (r for r in live_runs() if r.launcher_pid == launcher.process.pid)
    assert launcher.stop(signal.SIGTERM) == 0, launcher.output()
    assert "ready" not in launcher.output()
    assert_nothing_is_left(run, port)


def live_runs() -> list[runs.RunRecord]:
    """The running starts of this machine."""
    return runs.live(runs.base_directory())


def assert_nothing_is_left(run: runs.RunRecord, port: int) -> None:
    """No process with the start's marker, none of its ports in use, no run directory."""
    assert [process.name() for process in processes.marked(run.id)] == []
    block = range(run.first_port, run.first_port + ports.BLOCK_SIZE)
    own = [port, run.dashboard_port, *block]
    # `is_free` would not do: the kernel may hold the port of a closed connection for a minute.
    assert [each for each in own if listens(each)] == []
    assert not run.path.exists()


def listens(port: int) -> bool:
    """Whether a process accepts connections on a port of this machine."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds, and fail after the time limit."""
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.1)
