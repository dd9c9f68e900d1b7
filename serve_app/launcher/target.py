"""Finds the dashboard that `status` queries, and its token."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from serve_app.launcher import runs
from serve_app.launcher.auth import MODE, TOKEN, TOKEN_PATH, read_token
from serve_app.launcher.stage import start_stage

DEFAULT_URL = "http://127.0.0.1:8265"


class TargetError(Exception):
    """No running instance matches, or several do; the message lists the running ones."""


def status_target(
    address: str | None,
    environment: Mapping[str, str],
    base: Path | None = None,
    port: int | None = None,
) -> tuple[str, str | None]:
    """URL and token: the given address, else this machine's start, else Ray's default.

    ``port``, that of a start's HTTP front, chooses among several. Raises `TargetError`.
    """
    started = runs.live(base or runs.base_directory())
    url = _url(address) if address and port is None else _only(started, port)
    paths = [run.token_path for run in started if run.dashboard_url == url]
    return url, read_token(_with_token(environment, paths[0]) if paths else environment)


def _only(started: Sequence[runs.RunRecord], port: int | None) -> str:
    """The dashboard of the starts with this port; starts that joined one cluster share it."""
    fitting = [run for run in started if port in (None, run.port)]
    dashboards = {run.dashboard_url for run in fitting if run.dashboard_url}
    undecided = port is None and any(not run.dashboard_url for run in fitting)
    if len(dashboards) > 1 or (dashboards and undecided):
        how = "--port" if port is None else "--address"
        raise TargetError(f"several graphs run here, choose with {how}: {_listed(started)}")
    if fitting and not dashboards:
        raise TargetError(f"still starting: {_listed(fitting)}")
    if port is not None and not fitting:
        others = f"; there are: {_listed(started)}" if started else ""
        raise TargetError(f"no graph that was started here has port {port}{others}")
    return dashboards.pop() if dashboards else DEFAULT_URL


def _listed(started: Sequence[runs.RunRecord]) -> str:
    return ", ".join(
        f"port {run.port or 'unknown'} with dashboard "
        f"{run.dashboard_url or f'to come ({start_stage(run)})'}"
        for run in started
    )


def _url(address: str) -> str:
    return (address if "://" in address else f"http://{address}").rstrip("/")


def _with_token(environment: Mapping[str, str], token_path: str) -> dict[str, str]:
    decided = any(name in environment for name in (MODE, TOKEN, TOKEN_PATH))
    return dict(environment) if decided or not token_path else {TOKEN_PATH: token_path}
