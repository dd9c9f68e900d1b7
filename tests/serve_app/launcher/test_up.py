"""The exit code of a start, when a signal or a failure comes at any of its stages."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serve_app.launcher import processes, runs
from serve_app.launcher import up as launcher
from serve_app.launcher.auth import MODE, TOKEN, TOKEN_PATH
from serve_app.launcher.plan import StartPlan
from serve_app.launcher.preparation import prepare
from serve_app.launcher.ray_head import InvalidConfigError, StartError
from serve_app.launcher.state import ServeState
from serve_app.launcher.tracing import EXPORTER, OTLP
from serve_app.launcher.up import EXIT_FAILED, EXIT_REFUSED, EXIT_STOPPED, UpOptions
from tests.serve_app.launcher.received import receive

PLAN = StartPlan(
    {"http_options": {"host": "127.0.0.1", "port": 0}, "applications": [{"name": "ours"}]}, None, ()
)
OPTIONS = UpOptions(dashboard_port=28_265, ray_address=None, timeout_s=5, drain_s=1)
MOMENTS = ("prepare", "check", "pull", "start", "deploy", "wait", "announce", "watch")


class World:
    """Stands for Ray and Serve: calls ``happens`` at one moment, and knows what is up."""

    def __init__(self, moment: str, happens: Callable[[], Any]) -> None:
        self._moment = moment
        self._happens = happens
        self.up: set[str] = set()

    def reach(self, moment: str) -> None:
        if moment == self._moment:
            self._happens()


class Head:
    """Stands for the process that runs Ray's head."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.pid = os.getpid()
        world.up.add("head")

    def check(self, request: dict[str, Any]) -> None:
        self._world.reach("check")

    def start(self) -> dict[str, Any]:
        self._world.reach("start")
        return {"dashboard": "127.0.0.1:1"}

    def require_alive(self) -> None:
        """It is alive."""

    def release(self) -> list[Any]:
        self._world.up.discard("head")
        return []


class DeployedGraph:
    """Stands for the deployed graph."""

    def __init__(self, world: World) -> None:
        self._world = world

    def deploy(self, limit_s: float, check: Callable[[], None]) -> bool:
        self._world.up.add("application")
        self._world.reach("deploy")
        return False

    def wait(self, progress: Any, limit_s: float, check: Callable[[], None]) -> str:
        progress.show(ServeState((), None, None))
        self._world.reach("wait")
        return "http://127.0.0.1:1"

    def remove(self, limit_s: float) -> None:
        self._world.up.discard("application")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Run a start in which something happens at one moment; returns its exit code.

    Whatever the code: nothing that came up is left, and no run directory.
    """
    worlds: list[World] = []

    def run(moment: str, happens: Callable[[], Any]) -> int:
        world = World(moment, happens)
        worlds.append(world)

        def prepared(*given: Any, **options: Any) -> Any:
            world.reach("prepare")
            return prepare(*given, **options)

        monkeypatch.setattr(launcher, "prepare", prepared)
        monkeypatch.setattr(launcher, "RayHeadProcess", lambda *_: Head(world))
        monkeypatch.setattr(launcher, "DeployedGraph", lambda *_: DeployedGraph(world))
        monkeypatch.setattr(launcher.GraphStart, "_fetch_weights", lambda _: world.reach("pull"))
        monkeypatch.setattr(launcher.GraphStart, "_announce", lambda *_: world.reach("announce"))
        monkeypatch.setattr(processes, "drain", lambda *_: world.reach("drain"))
        monkeypatch.setattr(launcher.GraphStart, "_check", lambda _: world.reach("watch"))
        return launcher.up(PLAN, OPTIONS)

    monkeypatch.setattr(runs, "base_directory", lambda: tmp_path)
    yield run
    assert [world.up for world in worlds] == [set()]
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_at_any_moment_is_an_orderly_end(
    start: Callable[..., int], moment: str, number: int
) -> None:
    assert start(moment, lambda: receive(number)) == EXIT_STOPPED == 0


@pytest.mark.parametrize("moment", ["start", "deploy", "wait", "watch"])
def test_a_start_that_fails_says_so(start: Callable[..., int], moment: str) -> None:
    def fail() -> None:
        raise StartError("the Ray head ended unexpectedly")

    assert start(moment, fail) == EXIT_FAILED == 1


def test_a_config_that_serve_refuses_ends_with_the_exit_code_of_refusals(
    start: Callable[..., int],
) -> None:
    def refuse() -> None:
        raise InvalidConfigError("applications.0: expected a name")

    assert start("check", refuse) == EXIT_REFUSED == 2


def test_a_token_of_ray_that_others_may_read_is_refused_before_anything_starts(
    start: Callable[..., int],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in (MODE, TOKEN, TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("secret")
    (home / ".ray" / "auth_token").chmod(0o644)
    assert start("prepare", lambda: pytest.fail("it started")) == EXIT_REFUSED
    said = capsys.readouterr()
    assert "chmod 600" in said.out + said.err
    assert "secret" not in said.out + said.err


def test_traces_without_their_package_are_refused_in_one_line_before_anything_starts(
    start: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(EXPORTER, OTLP)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp", None)  # it is not installed
    assert start("prepare", lambda: pytest.fail("it started")) == EXIT_REFUSED
    said = capsys.readouterr()
    (line,) = (said.out + said.err).splitlines()
    assert "opentelemetry-exporter-otlp-proto-http is not installed" in line
    assert line.endswith("pip install 'prsm-serve[otlp]'")


def test_a_process_that_could_not_be_ended_is_a_failure(
    start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.launcher.processes.end", lambda *_: [4711])
    assert start("watch", lambda: receive(signal.SIGTERM)) == EXIT_FAILED
