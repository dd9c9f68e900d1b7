"""API keys on a running graph with two replicas of the ingress, managed as an operator does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from configs.profile_file import profile_path
from tests.e2e.conftest import started_graph, wait_until

NATIVE = "/api/v1/huggingface"
EMBED = f"{NATIVE}/embeddings"
PATIENCE_S = 30
"""Longer than a change of keys may take until it counts."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two families of the embedded profile behind two replicas of the ingress."""
    content = yaml.safe_load(profile_path("embedded").read_text())
    wanted = ("embeddings", "classification")
    content["families"] = [each for each in content["families"] if each["name"] in wanted]
    del content["settings"]["default_generation_model"]
    content["ingress"]["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
    file = tmp_path_factory.mktemp("profile") / "keys.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("keys")
    return {"PRSM_HF_KEYS_URL": f"sqlite:///{folder}/keys.sqlite3"}


@pytest.fixture(scope="module")
def url(
    profile: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    log = tmp_path_factory.mktemp("log") / "up.log"
    with started_graph(log, "--profile", str(profile), **environment) as url:
        yield url


@pytest.fixture(scope="module")
def manage(profile: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Runs `prsm-serve keys`, and gives what it prints."""

    def run(command: str, *arguments: str) -> str:
        whole = [sys.executable, "-m", "serve_app.cli", "keys", command, *arguments]
        done = subprocess.run(
            [*whole, "--profile", str(profile)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def by(client: httpx.Client, key: str, path: str = EMBED, body: Any = None) -> httpx.Response:
    sent = {"texts": "a kitten"} if body is None else body
    return client.post(path, json=sent, headers={"authorization": f"Bearer {key}"})


def test_a_key_is_made_used_rotated_and_revoked_while_the_graph_runs(
    client: httpx.Client, manage: Callable[..., str]
) -> None:
    old = manage("create", "ada")
    assert by(client, old).status_code == 200
    new = manage("rotate", "ada", "--grace", "1s")
    wait_until(lambda: by(client, old).status_code == 401, PATIENCE_S)
    assert by(client, new).status_code == 200
    manage("revoke", "ada")
    wait_until(lambda: by(client, new).status_code == 401, PATIENCE_S)


def test_replicas_share_a_limit(client: httpx.Client, manage: Callable[..., str]) -> None:
    """Each of them alone would have admitted 20."""
    key = manage("create", "limited", "--rpm", "20")
    time.sleep(61 - time.time() % 60)  # all requests are of one minute
    statuses = []
    for _ in range(30):
        statuses.append(by(client, key).status_code)
        time.sleep(0.5)
    assert 20 <= statuses.count(200) <= 26
    refused = by(client, key)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_a_bound_key_reaches_its_family_alone(
    client: httpx.Client, manage: Callable[..., str]
) -> None:
    key = manage("create", "bound", "--families", "embeddings")
    assert by(client, key).status_code == 200
    assert by(client, key, f"{NATIVE}/classify").status_code == 403
    steps = [
        {"id": "vector", "task": "embeddings", "inputs": {"texts": "a"}},
        {"id": "mood", "task": "classify", "inputs": {"texts": "a"}},
    ]
    answer = by(client, key, f"{NATIVE}/graph", {"steps": steps}).json()
    assert [step["status"] for step in answer["steps"]] == ["ok", "failed"]


def test_use_is_in_the_list_and_in_the_metrics(
    client: httpx.Client, manage: Callable[..., str]
) -> None:
    user = manage("create", "user")
    admin = manage("create", "admin", "--scopes", "admin")
    for _ in range(3):
        assert by(client, user).status_code == 200
    counted = 'prsm_huggingface_key_requests_total{key="user",status="success"} 3.0'

    def is_counted() -> bool:  # the other replica's are, a quarter of a second later
        return counted in client.get("/metrics", headers={"x-api-key": admin}).text

    wait_until(is_counted, PATIENCE_S)

    def requests() -> int:
        found = {each["name"]: each for each in json.loads(manage("list", "--json"))}
        return int(found["user"]["requests"])

    wait_until(lambda: requests() == 3, PATIENCE_S)
