"""Models loaded by name are known to every replica of the ingress, and outlive the controller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.deployments import tiny
from tests.e2e.conftest import started_graph, wait_until
from tests.e2e.test_live_models import folder, posted
from tests.e2e.tiny_folders import GGUF

__all__ = ["folder"]

NATIVE = "/api/v1/huggingface"
MOODS, OTHERS = "tiny-moods", "tiny-others"
ASKED = 30
"""Requests on connections of their own: each replica of the ingress gets some."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A graph of two replicas of the ingress, and one family without a pinned model."""
    home = tmp_path_factory.mktemp("live")
    for name in (MOODS, OTHERS):
        tiny.classifier(home / "models" / name)
    family = {
        "name": "classification",
        "deployment": "deployments.classification:Classification",
        "routers": ["serve_app.ingress.routes.classification:router"],
        "options": {"autoscaling_config": {"min_replicas": 0, "max_replicas": 1}},
    }
    profile = home / "profile.yaml"
    content = {"name": "live", "ingress": {"num_replicas": 2}, "families": [family]}
    profile.write_text(yaml.safe_dump(content))
    environment = {
        "PRSM_HF_MODELS_FOLDER": str(home / "models"),
        "PRSM_HF_HF_CACHE_DIR": str(home / "cache"),
        "PRSM_HF_THREADS": "1",
    }
    with started_graph(home / "up.log", "--profile", str(profile), **environment) as url:
        yield url


def request(url: str, method: str, path: str, body: Any = None) -> httpx.Response:
    """On a connection of its own."""
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        return client.request(method, f"{NATIVE}{path}", json=body)


def processes(title: str) -> list[psutil.Process]:
    """Of the graph that this process started, by the title that Ray gives them."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that has ended, or whose parent waits for it
            if title in " ".join(each.cmdline()):
                found.append(each)
    return found


def known(url: str) -> list[set[str]]:
    """The models that each of many answers lists."""
    answers = [request(url, "GET", "/models").json()["models"] for _ in range(ASKED)]
    return [{model["name"] for model in models} for models in answers]


def mood(url: str, name: str) -> httpx.Response:
    return request(url, "POST", "/classify", {"texts": tiny.text(1, 2), "model_name": name})


def replaced(title: str, count: int) -> None:
    """Kill one of the processes with this title, and wait until there are so many others again."""
    before = processes(title)
    assert len(before) == count
    before[0].kill()
    wait_until(lambda: len([p for p in processes(title) if p != before[0]]) == count)


def test_both_replicas_of_the_ingress_know_a_model_that_one_was_told_to_load(url: str) -> None:
    assert len(processes("ServeReplica:prsm:Ingress")) == 2
    assert request(url, "POST", f"/models/{MOODS}").status_code == 200
    wait_until(lambda: all(MOODS in names for names in known(url)), 10)


def test_a_replica_of_the_ingress_that_starts_later_knows_it_too(url: str) -> None:
    replaced("ServeReplica:prsm:Ingress", 2)
    wait_until(lambda: all(MOODS in names for names in known(url)))
    assert {mood(url, MOODS).status_code for _ in range(ASKED)} == {200}


def test_it_outlives_the_controller(url: str) -> None:
    replaced("ServeController", 1)
    assert all(MOODS in names for names in known(url))
    assert mood(url, MOODS).status_code == 200
    assert mood(url, OTHERS).status_code == 200, "another is loaded by its name as before"
    wait_until(lambda: all({MOODS, OTHERS} <= names for names in known(url)), 30)


def test_it_is_forgotten_by_order_everywhere(url: str) -> None:
    assert request(url, "DELETE", f"/models/{MOODS}").status_code == 200
    wait_until(lambda: all(MOODS not in names for names in known(url)), 30)


def test_a_gguf_file_of_the_embedded_graph_is_served_from_its_folder(
    folder: Path, client: httpx.Client
) -> None:
    body = {"prompt": "The capital of France is", "model_name": GGUF, "max_new_tokens": 8}
    answer = posted(client, "/generate", body | {"temperature": 0})
    assert "Paris" in answer["generated_text"]
    assert client.delete(f"{NATIVE}/models/{GGUF}").status_code == 200
