"""The graph on a Ray head whose GCS has its tables in Redis, as KubeRay starts it.

``prsm-serve up`` ends the graph when the GCS ends. Here `ray start --head` starts it, which leaves
the processes of the node to themselves: nothing ends with the GCS, and nothing starts it again. (As
the first process of a container, with ``--block``, it ends them all, and the container begins
anew.)
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.chaos.redis_server import RedisServer, redis_server
from bench.peers.running import ServerFailed, free_port
from serve_app.launcher import processes, runs
from serve_app.launcher.auth import read_token
from serve_app.launcher.dashboard import Dashboard
from serve_app.launcher.deployed_graph import DeployedGraph
from serve_app.launcher.plan import StartPlan
from serve_app.launcher.ports import PortBlock
from serve_app.launcher.preparation import prepare, start_environment
from serve_app.launcher.progress import PlainProgress

FIRST_DASHBOARD_PORT = 8265
START_LIMIT_S = 300.0
GRACE_S = 3.0


@contextmanager
def stored_gcs(
    plan: StartPlan, settings: Mapping[str, str | None]
) -> Iterator[tuple[str, Dashboard]]:
    """The URL of the graph of a plan, and Ray's dashboard. Raises ``ServerFailed``.

    All processes of it are below this one, and have ended when the block is left.
    """
    with redis_server() as redis:
        base = runs.base_directory()
        own, block = prepare(base, plan, FIRST_DASHBOARD_PORT, joins=False)
        try:
            environment = {
                **start_environment(own.run, block, plan, joins=False),
                **{name: value for name, value in settings.items() if value is not None},
                **_ray_environment(own.run, redis),
            }
            _start_ray(own.run, block, redis, environment)
            dashboard = Dashboard(
                f"http://127.0.0.1:{own.run.dashboard_port}", read_token(environment)
            )
            yield _deployed(DeployedGraph(dashboard, plan)), dashboard
        finally:
            processes.end(own.run.id, GRACE_S)
            own.remove()


def _ray_environment(run: runs.RunRecord, redis: RedisServer) -> dict[str, str]:
    return {
        "RAY_REDIS_ADDRESS": f"127.0.0.1:{redis.port}",
        "RAY_external_storage_namespace": run.id,
    }


def _start_ray(
    run: runs.RunRecord, block: PortBlock, redis: RedisServer, environment: Mapping[str, str]
) -> None:
    command = [
        str(Path(sys.executable).with_name("ray")),
        *("start", "--head", "--node-ip-address=127.0.0.1", f"--port={free_port()}"),
        *(f"--redis-password={redis.password}", f"--ray-client-server-port={free_port()}"),
        *("--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"),
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1"),
        f"--temp-dir={run.path / 'r'}",
        f"--dashboard-port={run.dashboard_port}",
        f"--dashboard-agent-listen-port={block.agent}",
    ]
    log = run.path / "ray-start.log"
    with log.open("wb") as output:  # not a pipe, which Ray's processes would keep open
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=START_LIMIT_S,
            check=False,
        )
    if done.returncode:
        raise ServerFailed(f"Ray did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _deployed(graph: DeployedGraph) -> str:
    graph.deploy(START_LIMIT_S, _go_on)
    return graph.wait(PlainProgress(), START_LIMIT_S, _go_on)


def _go_on() -> None:
    """Nothing ends a wait for the graph but its limit."""
