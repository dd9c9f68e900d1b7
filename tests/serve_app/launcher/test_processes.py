import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import IO

import psutil
import pytest

from serve_app.launcher import processes, runs
from serve_app.launcher.environment import MARKER
from serve_app.launcher.preparation import end_leftovers

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\n"
STUBBORN += "while True: time.sleep(60)"


Spawn = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    started: list[subprocess.Popen[bytes]] = []

    def start(
        run_id: str | None = None, command: Sequence[str] = ("sleep", "300")
    ) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != MARKER}
        if run_id:
            environment[MARKER] = run_id
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(timeout=60)
        _line_stream(process).close()


def _line_stream(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def test_exactly_the_marked_processes_are_ended(spawn: Spawn) -> None:
    own, other, unmarked = spawn("run-a"), spawn("run-b"), spawn()
    assert processes.end("run-a", 5.0) == []
    assert own.wait(timeout=60) in (0, -signal.SIGTERM)
    assert processes.marked("run-a") == []
    assert other.poll() is None
    assert unmarked.poll() is None


def test_a_process_that_ignores_sigterm_is_killed(spawn: Spawn) -> None:
    stubborn = spawn("run-c", (sys.executable, "-c", STUBBORN))
    assert _line_stream(stubborn).readline()
    assert processes.end("run-c", 0.2) == []
    assert not processes.marked("run-c")


def test_hurrying_does_not_wait_for_the_grace(spawn: Spawn) -> None:
    stubborn = spawn("run-d", (sys.executable, "-c", STUBBORN))
    assert _line_stream(stubborn).readline()
    hurry = Event()
    hurry.set()
    # Waiting for an hour would be noticed by whoever runs the tests.
    assert processes.end("run-d", 3600.0, hurry) == []


def test_children_of_marked_processes_are_found_after_their_parent_died(spawn: Spawn) -> None:
    shell = spawn("run-e", ("sh", "-c", "sleep 300 & echo $!; exec sleep 300"))
    grandchild = int(_line_stream(shell).readline())
    shell.kill()
    shell.wait(timeout=60)
    assert [process.pid for process in processes.marked("run-e")] == [grandchild]
    assert processes.end("run-e", 5.0) == []


def test_a_child_that_ended_is_collected_unless_someone_else_waits_for_it(spawn: Spawn) -> None:
    awaited = spawn(command=("true",))
    os.waitid(os.P_PID, awaited.pid, os.WEXITED | os.WNOWAIT)
    processes.reap(keep=awaited.pid)
    assert psutil.Process(awaited.pid).status() == psutil.STATUS_ZOMBIE
    processes.reap()
    assert not psutil.pid_exists(awaited.pid)


def test_collecting_leaves_children_that_run(spawn: Spawn) -> None:
    running = spawn()
    processes.reap()
    assert running.poll() is None


def test_leftovers_of_a_dead_launcher_are_ended_and_a_live_ones_are_not(
    tmp_path: Path, spawn: Spawn
) -> None:
    live = runs.create(tmp_path)
    living, left = spawn(live.run.id), spawn("dead01")
    (tmp_path / "prsm-dead01").mkdir()
    end_leftovers(tmp_path)
    left.wait(timeout=60)
    assert living.poll() is None
    assert [run.id for run in runs.live(tmp_path)] == [live.run.id]
    assert not (tmp_path / "prsm-dead01").exists()
    live.remove()
