"""What a running graph keeps to itself: not in its answers, its logs, or the list of processes."""

from __future__ import annotations

from pathlib import Path

import httpx
import psutil
import pytest

from serve_app.launcher.auth import TOKEN_PATH
from serve_app.launcher.environment import MARKER
from serve_app.launcher.processes import marked
from tests.e2e.conftest import HUB_TOKEN, Graph

PAGES = (
    "/api/v1/huggingface/models",
    "/api/v1/huggingface/models/loaded",
    "/api/v1/huggingface/performance",
    "/v1/models",
    "/v1/models/nothing",
    "/health",
    "/metrics",
    "/openapi.json",
)


def test_secrets_are_in_no_answer_log_or_command_line(graph: Graph) -> None:
    if graph.launcher is None:
        pytest.skip("the graph is not this session's")
    head = next(each for each in graph.launcher.children() if MARKER in each.environ())
    environment = head.environ()
    ray_token = Path(environment[TOKEN_PATH])
    secrets = [HUB_TOKEN, ray_token.read_text().strip()]
    found = []
    with httpx.Client(base_url=graph.url, timeout=60) as client:
        wrong = client.post("/api/v1/huggingface/generate", json={"hf_token": 1, "model_name": "x"})
        answers = {page: client.get(page).text for page in PAGES} | {"wrong": wrong.text}
    found += [name for name, text in answers.items() if any(each in text for each in secrets)]
    for process in (graph.launcher, *marked(environment[MARKER])):
        try:
            line = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        found += [line for each in secrets if each in line]
    logs = [*ray_token.parent.glob("*.log"), *ray_token.parent.glob("r/session_2*/logs/**/*")]
    files = [each for each in logs if each.is_file() and not each.is_symlink()]
    assert len(files) > 10
    for file in files:
        content = file.read_bytes()
        found += [str(file) for each in secrets if each.encode() in content]
    assert not found
