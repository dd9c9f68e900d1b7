"""`prsm-serve status`: the stage of a graph, its deployments, its limits and which of them bind."""

import json
from collections.abc import Mapping
from dataclasses import asdict

from serve_app.launcher import runs
from serve_app.launcher.dashboard import Dashboard, DashboardError
from serve_app.launcher.limits import (
    FamilyLimit,
    LimitsUnknownError,
    ReplicaLimits,
    binding_limits,
    limits_in_force,
)
from serve_app.launcher.progress import say
from serve_app.launcher.stage import serve_stage
from serve_app.launcher.state import ServeState
from serve_app.launcher.tables import print_binding_limits, print_limits, print_status
from serve_app.launcher.target import TargetError, status_target

EXIT_UNHEALTHY = 1


def show_status(
    address: str | None,
    environment: Mapping[str, str],
    port: int | None,
    api_key: str | None,
    as_json: bool,
) -> int:
    """Print it; returns the exit code, 0 when everything is healthy."""
    try:
        url, token = status_target(address, environment, port=port)
        state = Dashboard(url, token).state()
    except (TargetError, DashboardError) as error:
        said = str(error) if isinstance(error, TargetError) else f"nothing runs: {error}"
        say(json.dumps({"error": str(error)}) if as_json else said)
        return EXIT_UNHEALTHY
    started = [run for run in runs.live(runs.base_directory()) if run.dashboard_url == url]
    stage = serve_stage(state, bool(started))
    limits, unknown = _limits(state, api_key)
    binding = _binding_limits(state, api_key)
    if as_json:
        summary = {"url": state.url, "dashboard": url, "healthy": state.is_healthy, "stage": stage}
        limits_json = {
            "limits": [asdict(each) for each in limits],
            "limits_unknown": unknown,
            "binding_limits": [asdict(each) for each in binding],
        }
        say(json.dumps(summary | asdict(state) | limits_json, indent=2))
    else:
        print_status(state, url, stage)
        print_limits(limits, unknown)
        print_binding_limits(binding)
    return 0 if state.is_healthy else EXIT_UNHEALTHY


def _binding_limits(state: ServeState, api_key: str | None) -> list[FamilyLimit]:
    """What binds each family, as far as the graph tells: why it does not is said of its limits."""
    url = _graph_url(state)
    if url is None:
        return []
    try:
        return binding_limits(url, api_key)
    except LimitsUnknownError:
        return []


def _graph_url(state: ServeState) -> str | None:
    answering = [each for each in state.applications if each.status == "RUNNING"]
    if state.url is None or not answering:
        return None
    return state.url + answering[0].route_prefix.rstrip("/")


def _limits(state: ServeState, api_key: str | None) -> tuple[list[ReplicaLimits], str | None]:
    """The limits in force, or why they are not known."""
    url = _graph_url(state)
    if url is None:
        return [], "no graph answers yet" if state.applications else None
    try:
        return limits_in_force(url, api_key), None
    except LimitsUnknownError as error:
        return [], str(error)
