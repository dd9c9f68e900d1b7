"""A Ray cluster of one node with two made-up GPUs, and two graphs on it: what became of them.

Run as a process of its own, so that neither the tests nor a running graph notice. Arguments: the
profile of the first graph, that of the second, and where the observations go, as JSON.
"""

from __future__ import annotations

import copy
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import ray
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from bench.peers.running import free_port
from configs.serve_schema import serve_config

LIMIT_S = 500.0
FAMILIES = ("half", "other_half", "without", "judge")
LATE = {"name": "late", "route_prefix": "/late"}


def main(first: str, second: str, observations: str) -> None:
    Cluster(  # ends with this process
        initialize_head=True,
        connect=True,
        head_node_args={
            "num_cpus": 4,
            "num_gpus": 2,
            "include_dashboard": False,
            "dashboard_port": free_port(),
            "include_log_monitor": False,
            "dashboard_agent_listen_port": free_port(),
        },
    )
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    seen = observe(first, second, f"http://127.0.0.1:{port}", _get_global_client())
    Path(observations).write_text(json.dumps(seen))


def observe(first: str, second: str, url: str, client: Any) -> dict[str, Any]:
    config, late = serve_config(first), serve_config(second)["applications"][0] | LATE
    name = config["applications"][0]["name"]
    deploy(client, config, [*config["applications"]])
    running(client, name)
    seen: dict[str, Any] = {
        "reports": reports(url),
        "free": free_gpus(),
    }

    changed = copy.deepcopy(config["applications"])
    half = next(each for each in changed[0]["deployments"] if each["name"] == "Half")
    half["user_config"]["max_batch_size"] = 2
    deploy(client, config, [*changed, late])
    until(lambda: report(url, "half")["largest"] == 2)
    seen["reports_after_change"] = reports(url)

    until(lambda: statuses(client, "late").get("Ingress") == "HEALTHY")
    seen["late"] = statuses(client, "late") | {"replicas": replicas(client, "late", "Late")}
    seen["reports_beside_late"] = reports(url)
    deploy(client, config, [late])
    running(client, "late")
    seen["late_at_last"] = report(f"{url}/late", "late")
    return seen


def free_gpus() -> float:
    available: Any = ray.available_resources  # untyped
    return float(available().get("GPU", 0))


def deploy(client: Any, config: dict[str, Any], applications: list[dict[str, Any]]) -> None:
    given = {"applications": applications, "logging_config": config["logging_config"]}
    client.deploy_apps(ServeDeploySchema.model_validate(given))


def running(client: Any, name: str) -> None:
    until(lambda: client.get_serve_status(name).app_status.status == "RUNNING")


def statuses(client: Any, name: str) -> dict[str, str]:
    found = client.get_serve_status(name).deployment_statuses
    return {each.name: each.status.value for each in found}


def replicas(client: Any, application: str, deployment: str) -> list[str]:
    details = client.get_serve_details()["applications"][application]["deployments"][deployment]
    return [replica["state"] for replica in details["replicas"]]


def reports(url: str) -> dict[str, Any]:
    return {family: report(url, family) for family in FAMILIES}


def report(url: str, family: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/where/{family}", timeout=60, trust_env=False)
    seen: dict[str, Any] = answer.raise_for_status().json()
    return seen


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < limit, "it never came about"
        threading.Event().wait(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
