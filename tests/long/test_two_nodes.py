"""A graph on two Ray nodes that `ray start` started, each with a network of its own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.manifests import built, ports
from tests.long import two_nodes
from tests.long.test_scheduling import family
from tests.long.two_nodes import BIN, ROOT, Machine, RayNode, machines, ray_node

LIMIT_S = 180.0
ANSWER_LIMIT_S = 30.0
TOKEN = "0123456789abcdef" * 4
REQUESTS = 200
"""At most so many until replicas of both nodes have answered; half of them are expected there."""

pytestmark = pytest.mark.skipif(two_nodes.problem() is not None, reason=two_nodes.problem() or "")


@dataclass(frozen=True)
class TwoNodes:
    """The head, another node, and the graph on both."""

    head: RayNode
    worker: RayNode

    @property
    def both(self) -> tuple[RayNode, RayNode]:
        return self.head, self.worker

    def get(self, node: RayNode, path: str) -> Any:
        """The answer of that node's HAProxy, asked from the head's machine."""
        return self.ask(node, lambda client: client.get(path))

    def post(self, node: RayNode, path: str, body: dict[str, Any]) -> Any:
        return self.ask(node, lambda client: client.post(path, json=body))

    def ask(self, node: RayNode, send: Callable[[httpx.Client], httpx.Response]) -> Any:
        url = f"http://{node.machine.address}:8000"

        def asked() -> httpx.Response:
            with httpx.Client(base_url=url, timeout=ANSWER_LIMIT_S, trust_env=False) as client:
                return send(client)

        answer = self.head.machine.inside(asked).raise_for_status()
        is_json = answer.headers["content-type"].startswith("application/json")
        return answer.json() if is_json else answer.text


def profile(folder: Path) -> Path:
    """Two families with a replica on each node: one that says where it is, and a real model."""
    empty = folder / "empty"
    empty.mkdir()
    (empty / "model.safetensors").touch()
    embedded = yaml.safe_load((ROOT / "configs" / "embedded.yaml").read_text())
    letters = family("letters", "Letters", "house/letters", empty, 0.0)
    embeddings = next(each for each in embedded["families"] if each["name"] == "embeddings")
    two = {"min_replicas": 2, "max_replicas": 2}
    for each in (letters, embeddings):
        each["options"] |= {"autoscaling_config": two, "max_replicas_per_node": 1}
    cache = os.environ.get("PRSM_HF_HF_CACHE_DIR", str(ROOT / "cache" / "huggingface"))
    content = {
        "name": "two-nodes",
        "nodes": "many",
        "settings": {"device": "cpu", "threads": 1, "hf_cache_dir": cache},
        "ingress": {
            "autoscaling_config": two,
            "ray_actor_options": {"num_cpus": 0.2},
            "max_replicas_per_node": 1,
            "max_ongoing_requests": 512,
        },
        "families": [letters, embeddings],
    }
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def start_options(head: Machine) -> tuple[list[str], list[str]]:
    """Those of `ray start` for the head and the worker, as the RayService gives them to pods.

    Other than there the head has two cores too.
    """
    small = built("small")
    given = [
        [f"--{key}={value}" for key, value in pod.group["rayStartParams"].items()]
        for pod in (small.head, small.workers)
    ]
    cores = "--num-cpus=2"
    return (
        ["--head", *given[0], cores],
        [f"--address={head.address}:6379", *given[1], cores],
    )


def environment_of_nodes() -> dict[str, str]:
    """For Ray on both machines: one token, and no API keys."""
    dropped = {"RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH"}
    return {
        **{name: value for name, value in os.environ.items() if name not in dropped},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PRSM_HF_ALLOW_ANONYMOUS": "true",
        "RAY_AUTH_TOKEN": TOKEN,
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    folder = tmp_path_factory.mktemp("two-nodes")
    path = profile(folder)
    environment = environment_of_nodes()
    with ExitStack() as stack:
        one, other = stack.enter_context(machines(f"prsm{os.getpid() % 10000}"))
        head, worker = start_options(one)
        first = ray_node(one, path, folder / "head.log", environment, *head)
        nodes = [stack.enter_context(first)]
        until(lambda: connects(one, 8265), nodes[0].log)
        second = ray_node(other, path, folder / "worker.log", environment, *worker)
        nodes.append(stack.enter_context(second))
        made = TwoNodes(*nodes)
        deploy(one, path, folder / "serve.yaml", environment)
        until(lambda: all(is_ready(made, node) for node in nodes), nodes[0].log)
        yield made


def deploy(machine: Machine, path: Path, config: Path, environment: dict[str, str]) -> None:
    """As the docs say: make the config, then `serve deploy`."""
    make = [str(BIN / "prsm-serve"), "config", "--profile", str(path), "--host", "0.0.0.0"]
    made = subprocess.run(make, env=environment, capture_output=True, text=True, check=True)
    config.write_text(made.stdout)
    address = f"http://{machine.address}:8265"
    command = machine.command(str(BIN / "serve"), "deploy", "--address", address, str(config))
    subprocess.run(command, env=environment | {"RAY_AUTH_MODE": "token"}, check=True)


def until(true: Callable[[], bool], log: Path) -> None:
    limit = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.2)


def connects(machine: Machine, port: int) -> bool:
    def asked() -> int:
        return httpx.get(f"http://{machine.address}:{port}/", trust_env=False).status_code

    try:
        return machine.inside(asked) > 0
    except httpx.TransportError:
        return False


def is_ready(cluster: TwoNodes, node: RayNode) -> bool:
    """Whether that node answers, and knows two replicas of both models."""
    try:
        cluster.get(node, "/health/readiness")
        loaded = cluster.get(node, "/api/v1/huggingface/models/loaded")
    except httpx.HTTPError:
        return False
    return len(loaded["memory_usage"]["replicas"]) == 4


def network_of(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


def test_every_family_has_a_replica_on_each_node(cluster: TwoNodes) -> None:
    loaded = cluster.get(cluster.head, "/api/v1/huggingface/models/loaded")
    places: dict[str, set[str]] = {}
    for replica in loaded["memory_usage"]["replicas"]:
        places.setdefault(replica["model"], set()).add(replica["node"])
    assert {model: len(nodes) for model, nodes in places.items()} == {
        "house/letters": 2,
        "sentence-transformers/all-MiniLM-L6-v2": 2,
    }


@pytest.mark.parametrize("front", [0, 1], ids=["head", "worker"])
def test_requests_to_either_node_are_answered_by_replicas_on_both(
    cluster: TwoNodes, front: int
) -> None:
    wanted = {node.machine.file.stat().st_ino for node in cluster.both}
    answered: set[int] = set()
    for _ in range(REQUESTS):
        report = cluster.get(cluster.both[front], "/where/letters")
        assert report["answered"] == 12
        answered.add(network_of(report["pid"]))
        if answered == wanted:
            break
    assert answered == wanted


def test_both_nodes_give_one_text_the_same_vector(cluster: TwoNodes) -> None:
    body = {"input": "a kitten", "encoding_format": "float"}
    vectors = [
        cluster.post(node, "/v1/embeddings", body)["data"][0]["embedding"] for node in cluster.both
    ]
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-5)


def test_a_scrape_of_either_node_counts_the_requests_of_both(cluster: TwoNodes) -> None:
    def counts() -> list[float]:
        lines = [cluster.get(node, "/metrics").splitlines() for node in cluster.both]
        found = [[line for line in each if "requests_total{" in line] for each in lines]
        return [sum(float(line.split()[-1]) for line in each) for each in found]

    before = counts()
    for node in cluster.both:
        cluster.post(node, "/v1/embeddings", {"input": "a share"})
    until(lambda: counts() == [count + 2 for count in before], cluster.head.log)


def test_nodes_listen_only_where_the_network_policy_says(cluster: TwoNodes) -> None:
    policy = built("small").policy("prsm-serve")
    # Ray's client server, which no node and no client of this service needs, stays closed.
    allowed = {10001}.union(*ports(policy["ingress"]))
    for node in cluster.both:
        listening = node.machine.listening
        assert {8000, 8080, 52365} <= listening
        assert listening <= allowed


def test_haproxys_own_pages_are_on_loopback(cluster: TwoNodes) -> None:
    for node in cluster.both:
        assert not {8404, 9101} & node.machine.listening


def test_a_token_is_needed_to_change_what_is_served(cluster: TwoNodes) -> None:
    url = f"http://{cluster.head.machine.address}:8265/api/serve/applications/"

    def asked() -> int:
        return httpx.get(url, trust_env=False).status_code

    assert cluster.head.machine.inside(asked) in {401, 403}


def test_sigterm_of_a_node_leaves_nothing_there_and_the_other_goes_on(cluster: TwoNodes) -> None:
    assert cluster.worker.stop() == 0
    assert cluster.worker.machine.processes == set()

    def answers() -> bool:
        try:
            return bool(cluster.get(cluster.head, "/where/letters")["answered"] == 12)
        except httpx.HTTPError:
            return False

    until(answers, cluster.head.log)
    assert cluster.head.stop() == 0
    assert cluster.head.machine.processes == set()
