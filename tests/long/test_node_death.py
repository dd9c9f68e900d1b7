"""The cable of a node is pulled under streams: those of its replica go on at another node."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from bench.chaos.graph import PACED, PACED_MODEL
from bench.chaos.reading import Ending, StreamAnswer, read
from bench.chaos.requests import paced
from tests.long import two_nodes
from tests.long.test_two_nodes import (
    connects,
    deploy,
    environment_of_nodes,
    start_options,
    until,
)
from tests.long.two_nodes import RayNode, machines, ray_node

TOKENS = 300
STREAMS = 16
LIMIT_S = 200.0
AT_HEAD = {"at_head": 0.001}

pytestmark = pytest.mark.skipif(two_nodes.problem() is not None, reason=two_nodes.problem() or "")


def profile(folder: Path) -> Path:
    """A paced generator with a replica on each node, and the ingress at the head alone."""
    content = {
        "name": "node-death",
        "nodes": "many",
        "settings": {"device": "cpu", "threads": 1},
        "ingress": {
            "autoscaling_config": {"min_replicas": 1, "max_replicas": 1},
            "ray_actor_options": {"num_cpus": 0.2, "resources": AT_HEAD},
        },
        "families": [
            {
                "name": "generation",
                "deployment": "bench.chaos.paced:PacedGeneration",
                "routers": [
                    "serve_app.ingress.routes.generation:router",
                    "serve_app.ingress.routes.openai.chat:router",
                    "serve_app.ingress.routes.openai.completions:router",
                ],
                "options": {
                    "autoscaling_config": {"min_replicas": 2, "max_replicas": 2},
                    "max_replicas_per_node": 1,
                    "ray_actor_options": {"num_cpus": 0.2},
                },
                "models": [PACED_MODEL],
            }
        ],
    }
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RayNode, RayNode]]:
    """The head and another node, each with a replica that answers."""
    folder = tmp_path_factory.mktemp("node-death")
    path = profile(folder)
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


def streamed(head: RayNode, unplugged: RayNode | None = None) -> list[StreamAnswer]:
    """The streams, each of a session of its own; ``unplugged`` loses its cable in the middle."""
    answers = [StreamAnswer(each) for each in paced(PACED, TOKENS)[:STREAMS]]

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
            while unplugged and min(each.count for each in answers) < TOKENS // 10:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            if unplugged:
                await asyncio.to_thread(unplug, unplugged)

    head.machine.inside(lambda: asyncio.run(work()))
    return answers


def unplug(node: RayNode) -> None:
    """Nothing reaches the node any more, and no connection is reset."""
    namespace = node.machine.namespace
    end = namespace.replace("-", "")  # as two_nodes.machines calls it
    subprocess.run(["ip", "-n", namespace, "link", "set", end, "down"], check=True)


def test_streams_of_a_node_that_is_unplugged_go_on_at_the_other(
    nodes: tuple[RayNode, RayNode],
) -> None:
    head, worker = nodes
    wholes = streamed(head)
    found = streamed(head, unplugged=worker)
    for answer, whole in zip(found, wholes, strict=True):
        assert whole.ending is Ending.WHOLE, f"{whole.request.kind}: {whole.detail}"
        assert answer.ending is Ending.WHOLE, f"{answer.request.kind}: {answer.detail}"
        assert answer.events == whole.events, answer.request.kind
