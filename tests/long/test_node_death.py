"""A node dies under streams, or its cable is pulled: those of its replica go on at another node."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench.chaos.reading import Ending, StreamAnswer, read
from bench.chaos.requests import mixed
from bench.peers.servers import trimmed
from bench.peers.weights import CHAT_FLOAT32
from tests.long import two_nodes
from tests.long.test_two_nodes import (
    connects,
    deploy,
    environment_of_nodes,
    start_options,
    until,
)
from tests.long.two_nodes import ROOT, RayNode, machines, ray_node, without_conversations

TOKENS = 64
FAULT_AT = 4
"""Events of each stream that have come when the fault happens."""
SLOTS = 40
LIMIT_S = 300.0
AT_HEAD = {"at_head": 0.001}

pytestmark = pytest.mark.skipif(two_nodes.problem() is not None, reason=two_nodes.problem() or "")


def profile(folder: Path) -> Path:
    """A text generator on torch with a replica on each node, and the ingress at the head alone."""
    content: dict[str, Any] = trimmed(["generation"])
    without_conversations(content)
    (generation,) = content["families"]
    (model,) = [each for each in generation["models"] if each["name"] == CHAT_FLOAT32]
    generation["models"] = [model | {"pinned": True, "slots": SLOTS}]
    generation["options"] |= {
        "autoscaling_config": {"min_replicas": 2, "max_replicas": 2},
        "max_replicas_per_node": 1,
    }
    cache = os.environ.get("PRSM_HF_HF_CACHE_DIR", str(ROOT / "cache" / "huggingface"))
    content |= {
        "name": "node-death",
        "nodes": "many",
        "settings": {"device": "cpu", "threads": 1, "hf_cache_dir": cache},
        "ingress": {
            "autoscaling_config": {"min_replicas": 1, "max_replicas": 1},
            "ray_actor_options": {"num_cpus": 0.2, "resources": AT_HEAD},
            "max_ongoing_requests": 512,
        },
    }
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[RayNode, RayNode]]:
    """The head and another node, each with a replica that answers."""
    folder, path = tmp_path, profile(tmp_path)
    environment = environment_of_nodes()
    with ExitStack() as stack:
        one, other = stack.enter_context(machines(f"prsm{os.getpid() % 10000}"))
        head, worker = start_options(one)
        head = [*head, '--resources={"at_head": 1}']
        first = stack.enter_context(ray_node(one, path, folder / "head.log", environment, *head))
        until(lambda: connects(one, 8265), first.log)
        second = stack.enter_context(
            ray_node(other, path, folder / "worker.log", environment, *worker)
        )
        deploy(one, path, folder / "serve.yaml", environment)
        until(lambda: len(replicas(first)) == 2, first.log)
        yield first, second


def replicas(head: RayNode) -> set[str]:
    """The nodes that have loaded the model, as the head's HAProxy answers."""

    def asked() -> httpx.Response:
        url = f"{base_url(head)}/api/v1/huggingface/models/loaded"
        return httpx.get(url, trust_env=False, timeout=30)

    try:
        found = head.machine.inside(asked).raise_for_status().json()
    except httpx.HTTPError:
        return set()
    return {each["node"] for each in found["memory_usage"]["replicas"]}


def base_url(node: RayNode) -> str:
    return f"http://{node.machine.address}:8000"


def streamed(head: RayNode, fault: Callable[[], None] | None = None) -> list[StreamAnswer]:
    """32 streams of all kinds, each of a session of its own, with a ``fault`` under all of them."""
    answers = [StreamAnswer(each) for each in mixed(CHAT_FLOAT32, TOKENS)]

    async def one(number: int, answer: StreamAnswer) -> None:
        session = {"x-session-id": f"session-{number}"}
        async with httpx.AsyncClient(
            base_url=base_url(head), headers=session, timeout=LIMIT_S, trust_env=False
        ) as client:
            await read(client, answer)

    async def work() -> None:
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            for number, answer in enumerate(answers):
                tasks.create_task(one(number, answer))
            while fault and min(each.count for each in answers) < FAULT_AT:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            if fault:
                await asyncio.to_thread(fault)

    head.machine.inside(lambda: asyncio.run(work()))
    return answers


def unplug(node: RayNode) -> None:
    """Nothing reaches the node any more, and no connection is reset."""
    namespace = node.machine.namespace
    end = namespace.replace("-", "")  # as two_nodes.machines calls it
    subprocess.run(["ip", "-n", namespace, "link", "set", end, "down"], check=True)


def kill(node: RayNode) -> None:
    """All of its processes at once, as when a machine loses its power; but their connections are
    reset."""
    for pid in node.machine.processes:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("fault", [unplug, kill])
def test_streams_of_a_node_that_dies_go_on_at_the_other(
    nodes: tuple[RayNode, RayNode], fault: Callable[[RayNode], None]
) -> None:
    head, worker = nodes
    wholes = streamed(head)
    found = streamed(head, lambda: fault(worker))
    for answer, whole in zip(found, wholes, strict=True):
        assert whole.ending is Ending.WHOLE, f"{whole.request.kind}: {whole.detail}"
        assert answer.ending is Ending.WHOLE, f"{answer.request.kind}: {answer.detail}"
        assert answer.events == whole.events, answer.request.kind
