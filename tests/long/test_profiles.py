"""The hub and GPU profiles as they are, over tiny models in the places of theirs.

The models are in a cache of the hub, which is offline. The GPU is made up: Ray schedules by it, and
replicas compute on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.profile import ModelSpec, Profile
from configs.profile_file import load_profile
from configs.weights import HubSource
from configs.weights.pins import Pins
from serve_app.ingress.routes.vision import RED_DOT
from serve_app.registry.task_names import TaskNames, all_tasks
from tests.e2e.conftest import started_graph
from tests.e2e.examples import documented_posts
from tests.long import tiny_hub

NATIVE = "/api/v1/huggingface"
DIALOGUES = "microsoft/DialoGPT-medium"
PLACES = {
    "model_id": DIALOGUES,
    "model_name": DIALOGUES,
    "task": "text-generation",
    "user_id": "a-reader-of-the-documentation",
}
BELOW_A_MODEL = {
    "/models/{model_id}/v1/embeddings": "all-MiniLM-L6-v2",
    "/models/{model_id}/v1/rerank": "ms-marco-MiniLM-L12-v2",
    "/models/{model_id}/embed": "all-MiniLM-L6-v2",
    "/models/{model_id}/similarity": "all-MiniLM-L6-v2",
    "/models/{model_id}/rerank": "ms-marco-MiniLM-L12-v2",
    "/models/{model_id}/predict": "cardiffnlp/twitter-roberta-base-sentiment-latest",
}
"""Models for routes below a model that generate no text."""

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


# Schedulers of diffusers make arrays of tensors, which torch does in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@dataclass(frozen=True)
class Served:
    """A running graph of a profile."""

    profile: Profile
    client: httpx.Client
    cache: Path


@pytest.fixture(scope="module", params=["hub", "gpu"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    profile = load_profile(request.param)
    home = tmp_path_factory.mktemp(request.param)
    tiny_hub.fill(home / "hub", profile)
    settings = {"HF_HUB_OFFLINE": "1", "PRSM_HF_HF_CACHE_DIR": str(home), "PRSM_HF_THREADS": "1"}
    if profile.gpus is not None:
        settings["RAY_OVERRIDE_RESOURCES"] = json.dumps({"CPU": 4, "GPU": profile.gpus})
    with (
        started_graph(home / "up.log", "--profile", request.param, **settings) as url,
        httpx.Client(base_url=url, timeout=300, trust_env=False) as client,
    ):
        yield Served(profile, client, home)


def test_every_family_runs_or_sleeps(served: Served) -> None:
    body = served.client.get("/health").json()
    assert body["status"] == "healthy"
    families = {family.deployment_name for family in served.profile.families}
    assert set(body["deployments"]) == {"Ingress", "Ledger", *families}


def test_every_route_answers_its_example(served: Served) -> None:
    failed = []
    for path, example in documented_posts(served.client):
        model = {"model_id": BELOW_A_MODEL[path]} if path in BELOW_A_MODEL else {}
        answer = served.client.post(path.format(**(PLACES | model)), json=example)
        expected = 202 if path == "/mcp" and "id" not in example else 200
        if answer.status_code != expected:
            failed.append((path, answer.status_code, answer.text[:300]))
    assert failed == []


def test_every_model_does_each_of_its_tasks(served: Served) -> None:
    examples = dict(documented_posts(served.client))
    names = {task.name: task for task in all_tasks()}
    failed = []
    for model in served.profile.models:
        for task in model.tasks:
            problem = _tried(served.client, model, names[task], examples)
            failed += [problem] if problem else []
    assert failed == []


def _tried(
    client: httpx.Client, model: ModelSpec, task: TaskNames, examples: dict[str, Any]
) -> str | None:
    """What went wrong when ``model`` was given the example of the task's first route."""
    path = next(route for route in task.routes if not route.endswith(("/conversations", "/stream")))
    field = "model" if path.endswith("/query") else "model_name"
    example = {**examples[path], field: model.name}
    if task.name == "zero_shot":
        example["labels"] = ["sport", "tax"]
    answer = client.post(path, json=example)
    if answer.status_code != 200:
        return f"{model.name}, {path}: {answer.status_code} {answer.text[:300]}"
    content = answer.json()
    said = content["model"] if isinstance(content, dict) else answer.headers["x-model"]
    return None if said == model.name else f"{model.name}, {path}: {said} answered"


def test_every_model_has_a_pinned_commit_and_pinned_models_are_in_memory(served: Served) -> None:
    models = served.client.get(f"{NATIVE}/models").json()["models"]
    assert [each["name"] for each in models] == [each.name for each in served.profile.models]
    loaded = {each["name"] for each in models if each["loaded"]}
    assert loaded >= {each.name for each in served.profile.models if each.pinned}
    for model in served.profile.models:
        assert isinstance(model.source, HubSource)
        if model.source.revision is None:
            assert Pins(served.cache / "revisions").find(model.source.hub) == tiny_hub.COMMIT


@pytest.mark.parametrize(
    ("content", "more", "model"),
    [
        ("Hi", {}, DIALOGUES),
        ("Hi", {"tools": [TOOL]}, "Qwen/Qwen2.5-0.5B-Instruct"),
        (
            [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": RED_DOT}}],
            {},
            "HuggingFaceTB/SmolVLM-256M-Instruct",
        ),
    ],
    ids=["plain", "tools", "images"],
)
def test_a_chat_goes_to_the_model_that_can_do_it(
    served: Served, content: Any, more: dict[str, Any], model: str
) -> None:
    messages = [{"role": "user", "content": content}]
    asked = {"messages": messages, "max_tokens": 4, **more}
    answer = served.client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == model
