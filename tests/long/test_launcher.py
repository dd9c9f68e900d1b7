"""A start beside the remains of one that was killed, and one that fails."""

from __future__ import annotations

import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from serve_app.launcher import processes, runs
from tests.e2e.test_launcher import (
    Launcher,
    assert_nothing_is_left,
    listens,
    live_runs,
    port,
    start,
)

__all__ = ["port", "start"]


def test_a_start_after_a_killed_one_answers_and_leaves_no_process_port_or_file(
    start: Callable[..., Launcher], port: int, logs_of_starts: Path
) -> None:
    killed = start(port)
    run = answering(killed)
    # Kill Ray's head as well: it would notice that the launcher has ended, and clean up.
    head = next(p for p in processes.marked(run.id) if p.ppid() == killed.process.pid)
    killed.stop(signal.SIGKILL)
    head.kill()
    assert processes.marked(run.id)
    assert listens(port)

    last = start(port)
    own = answering(last)
    assert not processes.marked(run.id)
    assert not run.path.exists()
    assert last.stop(signal.SIGINT) == 0, last.output()
    assert_nothing_is_left(own, port)
    (kept,) = logs_of_starts.glob(f"*-{own.id}")
    assert f"logs    {kept}" in last.output()
    assert list(kept.glob("ray/serve/*.log"))


def test_a_deployment_that_fails_ends_the_start_with_its_own_message(
    start: Callable[..., Launcher], port: int
) -> None:
    before = {run.id for run in live_runs()}
    launcher = start(port, broken=True)
    seen: dict[str, runs.RunRecord] = {}
    while launcher.process.poll() is None:
        seen |= {r.id: r for r in live_runs() if r.launcher_pid == launcher.process.pid}
        time.sleep(0.1)
    assert launcher.process.returncode == 1
    assert "Broken DEPLOY_FAILED" in launcher.output()
    assert "no weights here" in launcher.output()
    (run,) = (each for key, each in seen.items() if key not in before)
    assert_nothing_is_left(run, port)


def answering(launcher: Launcher) -> runs.RunRecord:
    """The record of a start that answers through the front and the model."""
    run = launcher.wait_until_ready()
    assert shout(launcher.url) == "HELLO"
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    return run


def shout(url: str) -> str:
    """Send a request through the front and the model."""
    return str(httpx.get(f"{url}/shout", params={"text": "hello"}, timeout=120).json())
