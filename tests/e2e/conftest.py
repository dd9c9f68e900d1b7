"""One running graph for the session, started the way a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import httpx
import psutil
import pytest
from huggingface_hub import InferenceClient
from openai import OpenAI

from bench.peers.running import free_port
from configs.processor import native_bfloat16

# Two answers to one text may differ by this much more in bfloat16, which rounds differently in
# batches of another shape.
VECTOR_ROUNDING = 2e-3 if native_bfloat16() else 0.0
LOGIT_ROUNDING = 5e-2 if native_bfloat16() else 0.0

START_TIMEOUT_S = 600
STOP_TIMEOUT_S = 120
BODY_TIMEOUT_S = 5
HUB_TOKEN = "hf_opens-nothing-7d1f"
Open: TypeAlias = Callable[[str], InferenceClient]


@dataclass(frozen=True)
class Graph:
    """A running graph. ``launcher`` is its process, None where this session did not start it.

    Models in ``models_folder`` are loaded by name.
    """

    url: str
    launcher: psutil.Process | None
    models_folder: Path | None = None

    def replica(self, deployment: str) -> psutil.Process:
        """The process of a deployment's only replica."""
        assert self.launcher is not None
        name = f"ServeReplica:prsm:{deployment}"
        family = self.launcher.children(recursive=True)
        return next(process for process in family if name in " ".join(process.cmdline()))


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """The embedded graph, which runs until the session ends."""
    if running := os.environ.get("PRSM_TEST_URL"):
        folder = os.environ.get("PRSM_HF_MODELS_FOLDER")
        # A graph that runs already: quicker while developing.
        yield Graph(running, None, None if folder is None else Path(folder))
        return
    port = free_port()
    log = tmp_path_factory.mktemp("graph") / "up.log"
    launcher = Path(sys.executable).with_name("prsm-serve")
    models = tmp_path_factory.mktemp("models")
    settings = {
        "PRSM_HF_MODELS_FOLDER": str(models),
        "PRSM_HF_HF_TOKEN": HUB_TOKEN,
        "PRSM_HF_CONVERSATIONS_URL": f"sqlite:///{log.with_name('conversations.sqlite3')}",
        "PRSM_HF_BODY_TIMEOUT_S": str(BODY_TIMEOUT_S),
        "PRSM_HF_ANSWER_MAX_NEW_TOKENS": "32",
        "PRSM_HF_CONVERSATION_LEASE_S": "6",  # so much later the lease of a killed replica ends
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",  # nobody asks while it ends
        "PRSM_HF_THREADS": "1",  # two threads wait for each other where other tests compute
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(launcher), "up", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield Graph(url, psutil.Process(process.pid), models)
    finally:
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_TIMEOUT_S)
    assert code == 0, log.read_text()
    assert [each.cmdline() for each in started if each.is_running()] == []


@contextmanager
def started_graph(log: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """The URL of a graph of one's own, from ``prsm-serve up``; it ends without an error."""
    port = free_port()
    command = [sys.executable, "-m", "serve_app.cli", "up", "--port", str(port), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | environment
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_TIMEOUT_S)
    assert code == 0, log.read_text()


@pytest.fixture(scope="session")
def base_url(graph: Graph) -> str:
    return graph.url


def wait_until(condition: Callable[[], bool], limit_s: float = START_TIMEOUT_S) -> None:
    """Poll until the condition holds; an unanswered request counts as not yet."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not true within {limit_s} s")


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the launcher ended with {process.returncode}:\n{log.read_text()}")
        try:
            if httpx.get(f"{url}/health/readiness").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    pytest.fail(f"the graph was not ready in time:\n{log.read_text()}")


@pytest.fixture(scope="session")
def client(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, timeout=120) as opened:
        yield opened


@pytest.fixture(scope="session")
def openai_client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{base_url}/v1", api_key="unused", timeout=120, max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def at(base_url: str) -> Open:
    """A client of the model that is named, in full or by its alias."""
    return lambda model: InferenceClient(model=f"{base_url}/models/{model}", timeout=120)
