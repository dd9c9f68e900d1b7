"""Tasks without a packaged model: tiny ones of random weights, served from folders over HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
import yaml
from huggingface_hub import InferenceClient, errors
from transformers import BertForMaskedLM, BertForQuestionAnswering, pipeline

from bench.peers.running import free_port
from tests.deployments.families import bert_config, saved
from tests.e2e.conftest import STOP_TIMEOUT_S, wait_until_ready

ROOT = Path(__file__).parents[2]
NATIVE = "/api/v1/huggingface"
FAMILIES = {
    "classification": ("Classification", ["fill_mask"], {"tiny/masks": ["fill_mask"]}),
    "entities": ("Entities", ["question_answering"], {"tiny/spans": ["question_answering"]}),
}
"""Class, routers, and the tasks of each model, by family."""

Open: TypeAlias = Callable[[str], InferenceClient]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint for each model."""
    home = tmp_path_factory.mktemp("tiny")
    spans = BertForQuestionAnswering(bert_config("start", "end"))
    return {
        "tiny/masks": saved(BertForMaskedLM(bert_config()), home / "masks"),
        "tiny/spans": saved(spans, home / "spans"),
    }


def profile(folders: dict[str, Path]) -> dict[str, Any]:
    families = []
    for name, (cls, routers, models) in FAMILIES.items():
        families.append(
            {
                "name": name,
                "deployment": f"deployments.{name}:{cls}",
                "routers": [f"serve_app.ingress.routes.{each}:router" for each in routers],
                "models": [
                    {
                        "name": model,
                        "tasks": tasks,
                        "pinned": True,
                        "engine": "torch",
                        "source": {"folder": str(folders[model])},
                    }
                    for model, tasks in models.items()
                ],
            }
        )
    return {"name": "tiny", "families": families}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, folders: dict[str, Path]) -> Iterator[str]:
    """A graph of these families, for as long as this module's tests last."""
    if running := os.environ.get("PRSM_TEST_TASKS_URL"):
        yield running
        return
    home, port = tmp_path_factory.mktemp("graph"), free_port()
    file, log = home / "profile.yaml", home / "up.log"
    file.write_text(yaml.safe_dump(profile(folders)))
    command = [sys.executable, "-m", "serve_app.cli", "up", "--profile", str(file)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PRSM_HF_HF_CACHE_DIR": str(home)},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_TIMEOUT_S)
    assert code == 0, log.read_text()


@pytest.fixture(scope="module")
def native(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{url}{NATIVE}", timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def at(url: str) -> Open:
    return lambda model: InferenceClient(model=f"{url}/models/{model}", timeout=60)


def test_masked_words(native: httpx.Client, at: Open, folders: dict[str, Path]) -> None:
    expected = pipeline("fill-mask", model=str(folders["tiny/masks"]))("a [MASK] cat", top_k=3)
    answer = native.post("/fill-mask", json={"texts": "a [MASK] cat", "top_k": 3}).json()
    assert [each["token"] for each in answer["predictions"]] == [
        each["token_str"] for each in expected
    ]
    found = at("tiny/masks").fill_mask("a [MASK] cat", top_k=3)
    assert [(each.token, each.token_str, each.sequence) for each in found] == [
        (each["token"], each["token_str"], each["sequence"]) for each in expected
    ]
    (only,) = at("tiny/masks").fill_mask("a [MASK] cat", targets=["tax"])
    assert only.token_str == "tax"
    with pytest.raises(errors.HfHubHTTPError, match="mask"):
        at("tiny/masks").fill_mask("a cat")


def test_answers_out_of_a_text(native: httpx.Client, at: Open) -> None:
    asked: dict[str, Any] = {
        "question": "is a cat",
        "context": "sport and tax is a cats , e f " * 20,
    }
    answer = native.post("/question-answering", json={**asked, "top_k": 3}).json()
    assert answer["answer"] == asked["context"][answer["start"] : answer["end"]]
    assert len(answer["answers"]) == 3
    found: Any = at("tiny/spans").question_answering(**asked)
    assert (found.answer, found.start, found.end) == tuple(
        answer[key] for key in ("answer", "start", "end")
    )
    several: Any = at("tiny/spans").question_answering(**asked, top_k=3, align_to_words=False)
    assert [each.score for each in several] == sorted(each.score for each in several)[::-1]


def test_steps_of_one_graph(native: httpx.Client) -> None:
    steps = [
        {"id": "fill", "task": "fill_mask", "inputs": {"texts": "a [MASK] cat"}},
        {
            "id": "ask",
            "task": "question_answering",
            "inputs": {"question": "is a", "context": "$fill.predictions.0.sequence"},
        },
    ]
    answer = native.post("/graph", json={"steps": steps}).json()
    assert [each["status"] for each in answer["steps"]] == ["ok", "ok"]
    assert {each["model"] for each in answer["steps"]} == {"tiny/masks", "tiny/spans"}


def test_requests_are_counted_by_their_tasks(url: str) -> None:
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    for task in ("fill_mask", "question_answering"):
        assert re.search(rf'requests_total{{[^}}]*task="{task}"[^}}]*}} [1-9]', metrics), task
