"""A node of a cluster: its environment in several forms, and the end of all that it started."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from serve_app.launcher.environment import MARKER, Workload, serve_environment
from serve_app.launcher.haproxy import BINARY
from serve_app.launcher.node import (
    Node,
    NodeError,
    as_env_file,
    as_exports,
    run,
    write_haproxy,
)
from serve_app.launcher.ports import PortBlock

NODE = Node(Workload(), cpus=8)
LIMIT_S = 60.0
DETACHED = "setsid sleep 1000 & echo $! >{pid}; "
"""A process that leaves the session of its parent, as HAProxy does."""
RUN = """\
from serve_app.launcher.node import Node, run
from serve_app.launcher.environment import Workload
import sys
sys.exit(run(["sh", "-c", sys.argv[1]], Node(Workload(), 8), 0.0))
"""


def test_a_node_has_what_a_start_on_one_machine_sets_apart_from_its_own_paths_and_ports() -> None:
    many = Workload(many_nodes=True)
    start = serve_environment({}, "abc", Path("/tmp/x"), PortBlock.at(20_000), 8, many)
    node = NODE.environment(Path("/opt/haproxy"))
    own = {name for name in start if name.endswith(("_PORT", "_LOC", "_PATH", "_BASE", "_FILE"))}
    missing = start.keys() - own - node.keys()
    assert missing == {"SPT_NOENV", MARKER}
    assert {name: node[name] for name in start.keys() & node.keys() - own} == {
        name: start[name] for name in start.keys() & node.keys() - own
    }


def test_ray_wants_a_token_and_the_front_is_around_serves_entry() -> None:
    environment = NODE.environment(Path("/opt/haproxy"))
    assert environment["RAY_AUTH_MODE"] == "token"
    assert "entry:middlewares" in environment["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]


def test_a_shell_reads_the_exports_as_they_were_meant() -> None:
    given = {"ONE": "it's $HOME", "TWO": "a b"}
    script = as_exports(given) + 'printf "%s|%s" "$ONE" "$TWO"'
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert read.stdout == "it's $HOME|a b"


def test_the_env_file_has_a_line_for_each_variable() -> None:
    assert as_env_file({"A": "1", "B": "x:y"}) == "A=1\nB=x:y\n"


def test_haproxys_script_is_where_the_environment_says(tmp_path: Path) -> None:
    write_haproxy(tmp_path / "new")
    script = Path(NODE.environment(tmp_path / "new")[BINARY])
    assert stat.S_IMODE(script.stat().st_mode) & 0o100
    version = subprocess.run([script, "-v"], capture_output=True, text=True, check=True)
    assert "HAProxy version" in version.stdout


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NodeError, match=f"{file}"):
        write_haproxy(file / "haproxy")


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(NodeError, match="no-such-command"):
        run(["no-such-command"], NODE, 0.0)


def started(script: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RUN, script], env=os.environ | environment)


def written(path: Path) -> str:
    limit = time.monotonic() + LIMIT_S
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < limit, f"{path} was not written"
        time.sleep(0.02)
    return path.read_text()


def test_a_command_has_the_nodes_environment_and_the_users_wins(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = started(
        f'test -x "$RAY_SERVE_HAPROXY_BINARY_PATH"; '
        f'echo $? "$RAY_SERVE_ENABLE_HA_PROXY" "$RAY_SERVE_HAPROXY_NBTHREAD" >{seen}; exit 7',
        RAY_SERVE_HAPROXY_NBTHREAD="3",
    )
    assert command.wait(LIMIT_S) == 7
    assert seen.read_text().split() == ["0", "1", "3"]


def test_a_process_that_left_the_commands_session_ends_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    assert started(DETACHED.format(pid=pid)).wait(LIMIT_S) == 0
    assert not psutil.pid_exists(int(pid.read_text()))


def test_sigterm_ends_the_command_and_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = started(DETACHED.format(pid=pid) + "sleep 1000")
    sleeper = int(written(pid))
    command.send_signal(signal.SIGTERM)
    assert command.wait(LIMIT_S) == 0
    assert not psutil.pid_exists(sleeper)
