"""A real Prometheus beside a real graph: every metric and every query of a dashboard has data."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import configs
from deployments.metrics import signals
from deployments.metrics.other_names import GEN_AI, VLLM
from deployments.metrics.signals import SIGNALS, Signal
from serve_app.launcher import ports, processes, runs
from serve_app.launcher.auth import TOKEN_PATH, read_token
from serve_app.observability import promql
from serve_app.observability.files import DASHBOARDS
from tests.deployments.families import bert_config, saved
from tests.deployments.metrics.test_other_names import VLLM_DASHBOARD
from tests.deployments.pictures import noise as picture_of_noise
from tests.deployments.speech.recordings import ASK_NOT
from tests.e2e.conftest import started_graph, wait_until
from tests.e2e.test_generation import events
from tests.e2e.test_launcher import (
    Launcher,
    assert_nothing_is_left,
    listens,
    port,
    start,
    wait_for,
)
from tests.serve_app.observability.queries import OTHERS, SERIES, exposed, filled_in, metrics_of

__all__ = ["port", "start"]

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian: prometheus)"
)

NATIVE = "/api/v1/huggingface"
BROKEN = "folder/broken"
TEXTS = "HuggingFaceTB/SmolLM2-135M-Instruct"
KEY = "a-client"
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}
"""Of all requests, since the figures of keys need one."""
SECONDS = 180.0
"""The longest that Prometheus may take to have scraped everything, some dozens of scrapes."""

WITHOUT_A_GPU: set[Signal] = {
    signals.GPU_ALLOCATED,
    signals.GPU_RESERVED,
    signals.GPU_USED,
    signals.GPU_SIZE,
    signals.GPU_UTILIZATION,
}


class Prometheus:
    """Queries Prometheus' HTTP API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/api/v1", timeout=30, trust_env=False)
        self._began = time.time()

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self._client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def close(self) -> None:
        self._client.close()

    def has(self, expr: str) -> bool:
        """Whether a query had a number at some time since the start."""
        now = time.time()
        found = self.get("/query_range", query=expr, start=self._began, end=now, step=5)["result"]
        numbers = (float(value) for series in found for _, value in series["values"])
        return any(map(math.isfinite, numbers))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    broken_model(folder / BROKEN)
    log = tmp_path_factory.mktemp("graph") / "up.log"
    settings = {
        "PRSM_HF_API_KEYS_FILE": key_file(log.parent),
        "PRSM_API_KEY": KEY,
        "PRSM_HF_MODELS_FOLDER": str(folder),
        "PRSM_HF_THREADS": "1",
        "PRSM_HF_LOG_REQUESTS": "true",
    }
    with started_graph(log, "--observe", "--profile", _with_json_logs(log), **settings) as url:
        yield url


def key_file(folder: Path) -> str:
    """A file with the one key, which may do everything."""
    path = folder / "keys.txt"
    path.write_text(f"ada:{hashlib.sha256(KEY.encode()).hexdigest()}:inference,admin\n")
    return str(path)


def broken_model(folder: Path) -> None:
    """A model whose weights are cut off: it is found and cannot be loaded."""
    from transformers import BertForMaskedLM

    saved(BertForMaskedLM(bert_config()), folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def _with_json_logs(beside: Path) -> str:
    """The embedded profile, whose ingress logs in JSON."""
    content = yaml.safe_load((Path(configs.__path__[0]) / "embedded.yaml").read_text())
    logs = {"encoding": "JSON", "enable_access_log": False}
    content.setdefault("ingress", {})["logging_config"] = logs
    profile = beside.with_name("observed.yaml")
    profile.write_text(yaml.safe_dump(content))
    return str(profile)


@pytest.fixture(scope="module")
def run(url: str) -> runs.RunRecord:
    live = runs.live(runs.base_directory())
    return next(each for each in live if each.url == url)


@pytest.fixture(scope="module")
def prometheus(run: runs.RunRecord) -> Iterator[Prometheus]:
    with closing(Prometheus(f"http://127.0.0.1:{prometheus_port(run)}")) as opened:
        yield opened


def prometheus_port(run: runs.RunRecord) -> int:
    return ports.PortBlock.at(run.first_port).prometheus


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=AUTHORIZATION, timeout=120, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def measured(client: httpx.Client, prometheus: Prometheus) -> Prometheus:
    """Prometheus, when the graph has done a bit of everything while it was scraped."""
    deadline = time.monotonic() + SECONDS
    for send in _traffic(client):
        send()
    client.delete(f"{NATIVE}/models/prsm-serve/shapes-captions")
    at_last = (signals.LOAD_FAILURES, signals.UNLOADS, signals.PREFIX_HITS)
    rates = [promql.per_second(each) for each in at_last]
    rates.append(promql.quantile(0.5, signals.BETWEEN_TOKENS))
    while not all(prometheus.has(filled_in(rate)) for rate in rates):
        assert time.monotonic() < deadline, "Prometheus has no rates"
        for send in _traffic(client):
            send()
    return prometheus


def _traffic(client: httpx.Client) -> Iterator[Callable[[], object]]:
    picture, question = picture_of_noise(1), {"question": "What is it?"}
    image = {"image": ("a.png", picture, "image/png")}
    sound = {"file": ("a.flac", ASK_NOT.read_bytes(), "audio/flac")}
    prompt = "The capital of France is"
    short = {"prompt": prompt, "max_new_tokens": 8}

    def post(path: str, **body: Any) -> Callable[[], object]:
        return lambda: client.post(NATIVE + path, **body)

    def stream() -> None:
        with client.stream("POST", f"{NATIVE}/generate/stream", json=short) as response:
            assert list(events(response))[-1][0] == "result"

    def leave() -> None:
        long = {**short, "max_new_tokens": 1000}
        with client.stream("POST", f"{NATIVE}/generate/stream", json=long) as response:
            next(iter(events(response)))

    twice = {**short, "model_name": f"{TEXTS}-torch", "prompt": prompt * 8}
    yield from (post("/generate", json=short), stream, leave)
    yield from (post("/generate", json=twice), post("/generate", json=twice))
    yield post("/generate", json={**short, "model_name": "no/model"})
    chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    yield lambda: client.post("/v1/chat/completions", json=chat)
    yield post("/embeddings", json={"texts": ["a cat", "a dog"]})
    yield post("/rerank", json={"query": "a", "documents": ["b", "c d e"]})
    yield post("/classify", json={"texts": ["wonderful", "awful, to say the least"]})
    yield post("/classify", json={"textss": []})
    yield post("/entities", json={"texts": "Ada lives in Berlin."})
    yield post("/summarize", json={"texts": "A long text about a cat.", "max_length": 60})
    yield post("/vision/classify", files=image)
    yield post("/vision/caption", files=image)
    yield post("/vision/question", files=image, data=question)
    yield post("/vision/detect", files=image)
    yield post("/audio/transcribe", files=sound)
    yield post("/fill-mask", json={"texts": "a [MASK]", "model_name": BROKEN})
    yield lambda: client.get("/health")


def test_everything_is_scraped(measured: Prometheus) -> None:
    wait_until(lambda: bool(measured.get("/query", query='up{job="ray"} == 1')["result"]), 60)
    up = measured.get("/query", query="up")["result"]
    states = {(each["metric"]["job"], each["value"][1]) for each in up}
    assert states == {("prsm", "1"), ("haproxy", "1"), ("ray", "1")}


@pytest.mark.parametrize(
    "metric",
    [each for each in SIGNALS if each not in WITHOUT_A_GPU],
    ids=lambda metric: metric.name,
)
def test_every_metric_of_our_own_has_data(metric: Signal, measured: Prometheus) -> None:
    for name in exposed(metric):
        assert measured.has(name), name


@pytest.mark.parametrize("name", sorted(VLLM_DASHBOARD))
def test_what_vllms_dashboard_asks_for_has_data(name: str, measured: Prometheus) -> None:
    assert measured.has(name)


@pytest.mark.parametrize("name", sorted({each.name for each in (*VLLM, *GEN_AI)}))
def test_every_metric_under_others_names_has_data(name: str, measured: Prometheus) -> None:
    assert any(measured.has(name + suffix) for suffix in ("", "_total", "_count"))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_of_a_dashboard_has_data(name: str, measured: Prometheus) -> None:
    without = []
    for expr in DASHBOARDS[name].queries:
        needs_gpu = any(
            SERIES[metric] in WITHOUT_A_GPU for metric in metrics_of(expr) if metric not in OTHERS
        )
        if "binding_limit" in expr:
            continue  # nothing may bind
        if not needs_gpu and not measured.has(filled_in(expr)):
            without.append(expr)
    assert without == []


def test_every_alert_is_evaluated_and_none_about_the_service_fires(measured: Prometheus) -> None:
    (group,) = measured.get("/rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    firing = {rule["name"] for rule in group["rules"] if rule["state"] == "firing"}
    assert firing <= {"PrsmServeModelNotLoaded"}


def test_requests_are_lines_of_json_in_the_log_of_the_ingress(
    measured: Prometheus, run: runs.RunRecord
) -> None:
    logs = (run.path / "r" / "session_latest" / "logs" / "serve").glob("replica_*Ingress*.log")
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    requests = [line for line in lines if "http_route" in line]
    streamed = [each for each in requests if each["http_route"].endswith("/generate/stream")]
    assert {each["ended"] for each in streamed} == {"success", "cancelled"}
    assert all(each["completion_tokens"] and each["first_token_s"] > 0 for each in streamed)
    assert {each["ended"] for each in requests} >= {"not_found_error", "validation_error"}


def test_rays_dashboard_finds_prometheus_with_rays_metrics(
    measured: Prometheus, run: runs.RunRecord
) -> None:
    token = {"Authorization": f"Bearer {read_token({TOKEN_PATH: run.token_path})}"}
    health = f"{run.dashboard_url}/api/prometheus_health"
    answer = httpx.get(health, headers=token, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert measured.has("ray_prsm_huggingface_requests_total")
    assert measured.has("ray_node_mem_used")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_prometheus_ends_with_the_launcher(
    number: signal.Signals, start: Callable[..., Launcher], port: int
) -> None:
    launcher = start(port, "--observe")
    run = launcher.wait_until_ready()
    assert "prometheus" in {process.name() for process in processes.marked(run.id)}
    assert listens(prometheus_port(run))
    assert launcher.stop(number) == (-number if number is signal.SIGKILL else 0)
    wait_for(lambda: not processes.marked(run.id))  # Ray's head ends what a killed launcher left
    assert_nothing_is_left(run, port)
