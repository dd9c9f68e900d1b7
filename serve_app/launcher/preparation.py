"""Prepares a start: ends what killed launchers left, chooses ports, and makes the run directory."""

import os
from collections.abc import Mapping
from pathlib import Path

from configs.processor import usable_cores
from serve_app.launcher import ports, processes, runs
from serve_app.launcher.auth import token_environment
from serve_app.launcher.environment import (
    FRONT,
    LOOPBACK_HOOK,
    ON_LOOPBACK,
    serve_environment,
)
from serve_app.launcher.haproxy import haproxy_environment
from serve_app.launcher.plan import StartPlan
from serve_app.launcher.progress import say
from serve_app.launcher.state import http_url

LEFTOVER_GRACE_S = 3.0


def prepare(
    base: Path, plan: StartPlan, dashboard_port: int, *, joins: bool
) -> tuple[runs.LockedRun, ports.PortBlock]:
    """The run of this start, and its ports. With `joins` it joins a cluster that already runs.

    Raises `PortError` when the port of the HTTP front, or all blocks of ports, are in use.
    """
    processes.become_subreaper()
    with runs.registry_lock():
        end_leftovers(base)
        if not joins:
            ports.require_free(plan.host, plan.port)
        others = runs.live(base)
        block = ports.free_block([run.first_port for run in others])
        dashboard = ports.first_free(dashboard_port, [run.dashboard_port for run in others])
        own = runs.create(base)
        # A cluster that is joined may listen elsewhere; its address is known once the graph is up.
        url = "" if joins else http_url(plan.host, plan.port)
        own.update(first_port=block.first, dashboard_port=dashboard, url=url)
    return own, block


def end_leftovers(base: Path) -> None:
    """End processes of launchers that were killed. Call it under the registry lock."""
    for run in runs.dead(base):
        left = processes.marked(run.id)
        if left:
            say(f"ending {len(left)} processes that a killed launcher left (run {run.id})")
            processes.end(run.id, LEFTOVER_GRACE_S)
        runs.remove(run)


def start_environment(
    run: runs.RunRecord, block: ports.PortBlock, plan: StartPlan, *, joins: bool
) -> Mapping[str, str]:
    """The environment of every process of the start: what the user set wins over our defaults.

    With `joins` the start joins a cluster, whose nodes talk over the network.
    """
    front = FRONT if plan.profile else {}
    loopback = {} if joins else {**ON_LOOPBACK, **(LOOPBACK_HOOK if plan.profile else {})}
    given = {**front, **loopback, **os.environ}
    environment = serve_environment(given, run.id, run.path, block, usable_cores(), plan.workload)
    return {
        **haproxy_environment(run.path),
        **environment,
        **token_environment(environment, run.path),
    }
