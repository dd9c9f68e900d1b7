"""The stage of a start as `prsm-serve status` shows it."""

from pathlib import Path
from typing import Any

import pytest

from serve_app.launcher import runs
from serve_app.launcher.runs import RunRecord
from serve_app.launcher.stage import serve_stage, start_stage
from serve_app.launcher.state import parse_state
from serve_app.launcher.target import TargetError, status_target


@pytest.mark.parametrize("stage", ["fetching weights", "starting Ray"])
def test_the_stage_of_a_start_is_the_one_that_its_launcher_recorded(
    tmp_path: Path, stage: str
) -> None:
    own = runs.create(tmp_path)
    own.update(stage=stage)
    (found,) = runs.live(tmp_path)
    assert start_stage(found) == stage
    own.remove()


def test_a_launcher_that_has_recorded_no_stage_yet_prepares() -> None:
    assert start_stage(RunRecord("abc", "/nowhere", 1, 0.0)) == "preparing"


def test_status_says_what_a_start_does_before_there_is_a_dashboard(tmp_path: Path) -> None:
    own = runs.create(tmp_path)
    own.update(url="http://127.0.0.1:8000", stage="fetching weights")
    with pytest.raises(TargetError, match=r"still starting: port 8000 .*\(fetching weights\)"):
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
def test_once_ray_runs_the_stage_is_that_of_serves_state(
    details: dict[str, Any], is_starting: bool, stage: str
) -> None:
    assert serve_stage(parse_state(details), is_starting) == stage
