import io
from typing import Any

import pytest
from rich.console import Console

from serve_app.launcher.progress import PlainProgress, progress_for, state_table
from serve_app.launcher.state import parse_state
from serve_app.launcher.tables import print_status


def _details(
    status: str = "RUNNING",
    deployment: str = "HEALTHY",
    message: str = "",
    states: tuple[str, ...] = ("RUNNING",),
    wanted: int = 1,
) -> dict[str, Any]:
    replicas = [{"state": state} for state in states]
    model: dict[str, Any] = {"status": deployment, "message": message, "replicas": replicas}
    model["target_num_replicas"] = wanted
    application = {
        "status": status,
        "message": "",
        "route_prefix": "/",
        "deployments": {"M": model},
    }
    return {"http_options": {"host": "127.0.0.1", "port": 8000}, "applications": {"a": application}}


def test_a_running_application_of_healthy_deployments_is_healthy() -> None:
    state = parse_state(_details())
    assert state.is_healthy
    assert (state.host, state.port) == ("127.0.0.1", 8000)


def test_status_names_the_addresses_of_front_and_dashboard(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_status(parse_state(_details()), "http://127.0.0.1:8265", "running")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "HTTP on http://127.0.0.1:8000, dashboard on http://127.0.0.1:8265"
    assert second == "running"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert parse_state({"http_options": {"host": "::1", "port": 8000}}).url == "http://[::1]:8000"
    assert parse_state({}).url is None


def test_scaled_to_zero_is_healthy() -> None:
    assert parse_state(_details(states=(), wanted=0)).is_healthy


def test_a_cluster_without_applications_is_not_healthy() -> None:
    assert not parse_state({"applications": {}}).is_healthy


def test_a_deployment_that_comes_up_makes_the_whole_unhealthy_but_not_failed() -> None:
    state = parse_state(_details(status="DEPLOYING", deployment="UPDATING"))
    assert not state.is_healthy
    assert state.applications[0].failure is None


def test_a_failure_has_the_deployments_own_message() -> None:
    state = parse_state(_details("DEPLOY_FAILED", "DEPLOY_FAILED", "no such file: weights"))
    assert state.applications[0].failure == "M DEPLOY_FAILED: no such file: weights"


def test_an_application_that_failed_before_it_had_deployments_tells_why() -> None:
    details = _details("DEPLOY_FAILED")
    details["applications"]["a"] |= {"deployments": {}, "message": "No module named 'graph'"}
    failure = parse_state(details).applications[0].failure
    assert failure == "a DEPLOY_FAILED: No module named 'graph'"


def test_without_a_terminal_there_is_one_line_for_each_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = progress_for(Console(file=io.StringIO()))
    assert isinstance(progress, PlainProgress)
    starting = parse_state(_details("DEPLOYING", "UPDATING", "waiting\nmore", ()))
    for state in (starting, starting, parse_state(_details()), parse_state(_details())):
        progress.show(state)
    assert capsys.readouterr().out.splitlines() == [
        "a/M: UPDATING 0/1 - waiting",
        "a/M: HEALTHY 1/1",
    ]


def test_a_deployment_that_merely_starts_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress()
    for states in ((), ("STARTING",)):
        progress.show(parse_state(_details("DEPLOYING", "UPDATING", "", states)))
    assert capsys.readouterr().out == ""
    progress.show(parse_state(_details("DEPLOYING", "UPDATING", "", ("STARTING", "RUNNING"), 2)))
    assert capsys.readouterr().out == "a/M: UPDATING 1/2 - 1 starting\n"


def test_the_table_shows_messages_with_brackets_as_they_are() -> None:
    output = io.StringIO()
    console = Console(file=output, width=120)
    console.print(state_table(parse_state(_details("DEPLOYING", "UPDATING", "args [/x] failed"))))
    assert "args [/x] failed" in output.getvalue()


def test_a_deployment_without_a_message_shows_the_states_of_its_replicas() -> None:
    details = _details("DEPLOYING", "UPDATING", "", ("STARTING", "STARTING", "RUNNING"), 3)
    (deployment,) = parse_state(details).applications[0].deployments
    assert (deployment.message, deployment.running) == ("2 starting", 1)
    told = _details("DEPLOYING", "UPDATING", "takes long", ("STARTING",))
    assert parse_state(told).applications[0].deployments[0].message == "takes long"


def test_an_application_without_deployments_yet_is_being_built() -> None:
    details = _details("DEPLOYING")
    details["applications"]["a"]["deployments"] = {}
    assert parse_state(details).applications[0].message == "building the graph"
