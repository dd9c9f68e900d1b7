"""How far a start is, seen from outside."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serve_app.launcher import runs
from serve_app.launcher.runs import RunRecord
from serve_app.launcher.stage import serve_stage, start_stage
from serve_app.launcher.state import parse_state
from serve_app.launcher.target import TargetError, status_target

WAIT = "import sys; sys.stdin.read()"


@contextmanager
def child(*arguments: str) -> Iterator[int]:
    """A process of this one that does nothing."""
    command = [sys.executable, "-c", WAIT, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            assert process.stdin is not None
            process.stdin.close()


def run(launcher: int) -> RunRecord:
    return RunRecord("abc", "/nowhere", launcher, 0.0)


def test_a_launcher_that_fetches_weights_is_told_from_one_that_starts_ray() -> None:
    with child() as launcher:
        assert start_stage(run(launcher)) == "starting Ray"
    with child("models", "--pull", "--quiet"):
        assert start_stage(run(os.getpid())) == "fetching weights"


def test_a_launcher_that_has_just_ended_is_no_error() -> None:
    with child() as ended:
        pass
    assert start_stage(run(ended)) == "starting Ray"


def test_status_says_what_a_start_does_before_there_is_a_dashboard(tmp_path: Path) -> None:
    own = runs.create(tmp_path)
    own.update(url="http://127.0.0.1:8000")
    with (
        child("models", "--pull"),
        pytest.raises(TargetError, match=r"still starting: port 8000 .*\(fetching weights\)"),
    ):
        status_target(None, {}, tmp_path)
    own.remove()


def state(status: str, **deployments: str) -> dict[str, Any]:
    found = {name: {"status": word} for name, word in deployments.items()}
    return {"applications": {"prsm": {"status": status, "deployments": found}}}


@pytest.mark.parametrize(
    ("details", "is_starting", "stage"),
    [
        ({}, False, "nothing is deployed"),
        ({}, True, "starting Serve"),
        (state("DEPLOYING"), True, "deploying: building the graph"),
        (
            state("DEPLOYING", a="HEALTHY", b="UPDATING"),
            True,
            "deploying: 1 of 2 deployments are healthy",
        ),
        (state("RUNNING", a="HEALTHY"), True, "running"),
        (state("DEPLOY_FAILED"), True, "failed"),
        (state("UNHEALTHY", a="UNHEALTHY", b="HEALTHY"), False, "failed"),
    ],
)
def test_from_then_on_serve_tells(details: dict[str, Any], is_starting: bool, stage: str) -> None:
    assert serve_stage(parse_state(details), is_starting) == stage
