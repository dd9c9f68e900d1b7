"""A graph on two Ray nodes in a real Prometheus: every metric and every query of a dashboard."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serve_app.observability.files import alert_rules
from tests.e2e.conftest import wait_until
from tests.long import two_nodes
from tests.long.test_prometheus import (
    AUTHORIZATION,
    BROKEN,
    KEY,
    Prometheus,
    broken_model,
    key_file,
    measured,
    test_every_alert_is_evaluated_and_none_about_the_service_fires,
    test_every_metric_of_our_own_has_data,
    test_every_metric_under_others_names_has_data,
    test_every_query_of_a_dashboard_has_data,
    test_what_vllms_dashboard_asks_for_has_data,
)
from tests.long.test_prometheus import pytestmark as without_prometheus
from tests.long.test_two_nodes import (
    connects,
    deploy,
    environment_of_nodes,
    start_options,
    until,
)
from tests.long.two_nodes import (
    ROOT,
    Machine,
    RayNode,
    machines,
    plugged_in,
    ray_node,
    without_conversations,
)

__all__ = [
    "measured",
    "test_every_alert_is_evaluated_and_none_about_the_service_fires",
    "test_every_metric_of_our_own_has_data",
    "test_every_metric_under_others_names_has_data",
    "test_every_query_of_a_dashboard_has_data",
    "test_what_vllms_dashboard_asks_for_has_data",
]

PORT, RAY_METRICS, HAPROXY_METRICS = 9090, 8080, 9101
STOP_S = 30.0

pytestmark = [
    without_prometheus,
    pytest.mark.skipif(two_nodes.problem() is not None, reason=two_nodes.problem() or ""),
]


@dataclass(frozen=True)
class Observed:
    """The nodes of a graph, and the address of its head as it is reached from here."""

    head: RayNode
    worker: RayNode
    address: str


def profile(folder: Path) -> Path:
    """The embedded profile for two nodes, each with a replica of the ingress and one of vectors."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "embedded.yaml").read_text())
    without_conversations(content)
    content["nodes"] = "many"
    on_both = {
        "autoscaling_config": {"min_replicas": 2, "max_replicas": 2},
        "max_replicas_per_node": 1,
    }
    content["ingress"] |= on_both
    for family in content["families"]:
        if family["name"] == "embeddings":
            family["options"] |= on_both
    cache = os.environ.get("PRSM_HF_HF_CACHE_DIR", str(ROOT / "cache" / "huggingface"))
    content["settings"] |= {"device": "cpu", "threads": 1, "hf_cache_dir": cache}
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    folder = tmp_path_factory.mktemp("observed")
    broken_model(folder / "models" / BROKEN)
    path = profile(folder)
    environment = environment_of_nodes() | {
        "PRSM_HF_MODELS_FOLDER": str(folder / "models"),
        "PRSM_HF_API_KEYS_FILE": key_file(folder),
    }
    del environment["PRSM_HF_ALLOW_ANONYMOUS"]
    with ExitStack() as stack:
        one, other = stack.enter_context(machines(f"prsm{os.getpid() % 10000}"))
        head, worker = start_options(one)
        first = stack.enter_context(ray_node(one, path, folder / "head.log", environment, *head))
        until(lambda: connects(one, 8265), first.log)
        second = stack.enter_context(
            ray_node(other, path, folder / "worker.log", environment, *worker)
        )
        deploy(one, path, folder / "serve.yaml", environment)
        address = stack.enter_context(plugged_in(one))
        ready = f"http://{address}:8000/health/readiness"
        wait_until(lambda: httpx.get(ready, trust_env=False).is_success)
        yield Observed(first, second, address)


@pytest.fixture(scope="module")
def client(cluster: Observed) -> Iterator[httpx.Client]:
    url = f"http://{cluster.address}:8000"
    with httpx.Client(base_url=url, headers=AUTHORIZATION, timeout=120, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def prometheus(cluster: Observed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """At the head, as a server beside it would be."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "alerts.yml").write_text(alert_rules(), encoding="utf-8")
    both = [node.machine for node in (cluster.head, cluster.worker)]
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(cluster.head.machine, both)))
    command = cluster.head.machine.command(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=0.0.0.0:{PORT}",
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://{cluster.address}:{PORT}"
    try:
        wait_until(lambda: httpx.get(f"{url}/-/ready", trust_env=False).is_success)
        with closing(Prometheus(url)) as opened:
            yield opened
    finally:
        process.terminate()
        process.wait(STOP_S)


def configuration(head: Machine, both: list[Machine]) -> dict[str, Any]:
    """The service is scraped once, Ray on each node, and HAProxy where it can be reached."""
    targets = {
        "prsm": [f"{head.address}:8000"],
        "haproxy": [f"127.0.0.1:{HAPROXY_METRICS}"],
        "ray": [f"{each.address}:{RAY_METRICS}" for each in both],
    }
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [{"targets": each}],
                **({"authorization": {"credentials": KEY}} if job == "prsm" else {}),
            }
            for job, each in targets.items()
        ],
    }


def test_the_replicas_run_on_both_nodes(client: httpx.Client) -> None:
    loaded = client.get("/api/v1/huggingface/models/loaded").json()
    nodes = {each["node"] for each in loaded["memory_usage"]["replicas"]}
    assert len(nodes) == 2


def test_every_target_is_up(measured: Prometheus) -> None:
    def states() -> list[tuple[str, str]]:
        found = measured.get("/query", query="up")["result"]
        return sorted((each["metric"]["job"], each["value"][1]) for each in found)

    wanted = [("haproxy", "1"), ("prsm", "1"), ("ray", "1"), ("ray", "1")]
    wait_until(lambda: states() == wanted, 60)
