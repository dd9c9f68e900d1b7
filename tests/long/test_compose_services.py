"""The services of the Compose file as processes, with the same commands and configuration."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench.peers.running import free_port
from tests.e2e.conftest import started_graph, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
KEY, SCRAPER = "a-client", "prometheus-itself"
LIMIT_S = 120.0
STOP_LIMIT_S = 30.0

pytestmark = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="prometheus is not installed"
)


def line(name: str, key: str, scopes: str) -> str:
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}:{scopes}\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service as the Compose file starts it, for clients with a key."""
    folder = tmp_path_factory.mktemp("compose")
    keys = folder / "keys.txt"
    keys.write_text(line("ada", KEY, "inference") + line("prometheus", SCRAPER, "admin"))
    given = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["serve"]
    program, command, *options = given["command"]
    assert (program, command) == ("prsm-serve", "up")
    chosen = [option.replace("${PROFILE:-embedded}", "embedded") for option in options]
    with started_graph(folder / "up.log", *chosen, PRSM_HF_API_KEYS_FILE=str(keys)) as url:
        yield url


@pytest.fixture(scope="module")
def prometheus(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prometheus with the repository's configuration, apart from hosts, secrets and its pace."""
    folder = tmp_path_factory.mktemp("prometheus") / "config"
    shutil.copytree(DEPLOY / "prometheus", folder)
    key = folder / "metrics-key"
    key.write_text(SCRAPER)
    config = folder / "prometheus.yml"
    text = config.read_text().replace("/run/secrets/metrics-key", str(key))
    text = text.replace("serve:8000", service.removeprefix("http://")).replace("15s", "1s")
    config.write_text(text)
    address = f"127.0.0.1:{free_port()}"
    options = {
        "config.file": config,
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
    }
    command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://{address}"
    try:
        wait_until(lambda: httpx.get(f"{url}/-/ready", trust_env=False).is_success, LIMIT_S)
        yield url
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)


def values(prometheus: str, query: str) -> list[float]:
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, trust_env=False)
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return [float(each["value"][1]) for each in found]


def test_a_client_needs_a_key(service: str) -> None:
    body = {"input": "a kitten"}
    url = f"{service}/v1/embeddings"
    assert httpx.post(url, json=body, timeout=LIMIT_S).status_code == 401
    allowed = {"Authorization": f"Bearer {KEY}"}
    assert httpx.post(url, json=body, headers=allowed, timeout=LIMIT_S).status_code == 200
    assert httpx.get(f"{service}/metrics", headers=allowed).status_code == 403


def test_the_health_check_of_the_image_needs_none(service: str) -> None:
    assert httpx.get(f"{service}/health/readiness").status_code == 200


def test_prometheus_scrapes_the_service_with_its_key(service: str, prometheus: str) -> None:
    wait_until(lambda: values(prometheus, 'up{job="prsm"}') == [1.0], LIMIT_S)
    query = 'prsm_huggingface_requests_total{task="embed", status="success"}'
    before = sum(values(prometheus, query))
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"input": "a share"}
    for _ in range(3):
        httpx.post(f"{service}/v1/embeddings", json=body, headers=headers, timeout=LIMIT_S)
    wait_until(lambda: sum(values(prometheus, query)) >= before + 3, LIMIT_S)


def test_prometheus_has_read_the_rules_of_alerts(prometheus: str) -> None:
    files = list((DEPLOY / "prometheus").glob("alerts*.yml"))
    defined = [
        rule["alert"]
        for file in files
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    answer = httpx.get(f"{prometheus}/api/v1/rules", trust_env=False).json()["data"]["groups"]
    loaded = [rule["name"] for group in answer for rule in group["rules"]]
    assert set(defined) <= set(loaded)
