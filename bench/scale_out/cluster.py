"""A Ray head whose autoscaler starts further nodes on this machine, with GPUs that are made up.

Ray's own ``AutoscalingCluster`` would end every Ray process of the machine first, and needs a file
that its wheel does not have.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.peers.running import ServerFailed, free_port
from serve_app.launcher import processes
from serve_app.launcher.environment import MARKER, PACKED

ROOT = Path(__file__).parents[2]
GRACE_S = 3.0
HEAD = "ray.head.default"
IDLE_MINUTES = 0.1
"""How long a node without work stays; clouds take minutes, here it is six seconds."""
CALM_S = 5
"""How long nothing has to start or stop until Serve empties a node; five minutes by default."""


@contextlib.contextmanager
def autoscaling_cluster(
    max_nodes: int, cpus: int, gpus: int, logs: Path | None = None
) -> Iterator[str]:
    """A head with CPUs only, which starts up to ``max_nodes`` nodes of so many CPUs and GPUs.

    Gives its address. Every process of it has ended when the block is left, and its logs are in
    the folder ``logs``, where one is given.
    """
    marker, port = uuid.uuid4().hex, free_port()
    address = f"127.0.0.1:{port}"
    # Ray's sockets have to have short names.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        config = Path(folder) / "cluster.json"
        config.write_text(json.dumps(_config(address, max_nodes, cpus, gpus)))
        environment = os.environ | {
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "AUTOSCALER_METRIC_PORT": str(free_port()),
            "PYTHONPATH": str(ROOT),
            # Ray asks for a token where the user has one, and the driver would have to send it.
            "RAY_AUTH_MODE": "disabled",
            "RAY_FAKE_CLUSTER": "1",
            "RAY_TMPDIR": folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            **PACKED,
            "RAY_SERVE_NODE_COMPACTION_DELAY_S": str(CALM_S),
            "SPT_NOENV": "1",
            MARKER: marker,
        }
        environment.pop("RAY_ADDRESS", None)
        try:
            done = subprocess.run(
                _command(config, port, cpus), env=environment, capture_output=True, text=True
            )
            if done.returncode:
                raise ServerFailed(f"Ray did not start: {done.stdout[-1000:]}{done.stderr[-1000:]}")
            yield address
        finally:
            processes.end(marker, GRACE_S)
            if logs is not None:
                _keep(Path(folder), logs)


def _keep(folder: Path, logs: Path) -> None:
    """Copy the logs of Ray and Serve below ``folder``; a start that failed has none."""
    for session in folder.rglob("session_2*"):
        if (session / "logs").is_dir():
            shutil.copytree(
                session / "logs", logs, dirs_exist_ok=True, ignore_dangling_symlinks=True
            )


def _command(config: Path, port: int, cpus: int) -> list[str]:
    return [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--node-ip-address=127.0.0.1",
        f"--autoscaling-config={config}",
        f"--port={port}",
        "--min-worker-port=0",
        "--max-worker-port=0",
        f"--ray-client-server-port={free_port()}",
        f"--num-cpus={cpus}",
        "--num-gpus=0",
        "--include-dashboard=false",
        f"--dashboard-port={free_port()}",
        f"--dashboard-agent-listen-port={free_port()}",
        "--disable-usage-stats",
    ]


def _config(address: str, max_nodes: int, cpus: int, gpus: int) -> dict[str, Any]:
    lists = (
        "initialization_commands setup_commands head_setup_commands worker_setup_commands "
        "head_start_ray_commands worker_start_ray_commands cluster_synced_files rsync_exclude "
        "rsync_filter"
    )
    return {
        "cluster_name": "scale-out",
        "max_workers": max_nodes,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "use_node_id_as_ip": True,  # the nodes share one
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            HEAD: {"resources": {"CPU": cpus}, "node_config": {}, "max_workers": 0},
            "gpu": {
                "resources": {"CPU": cpus, "GPU": gpus, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": max_nodes,
            },
        },
        "head_node_type": HEAD,
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": IDLE_MINUTES,
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in lists.split()},
    }
