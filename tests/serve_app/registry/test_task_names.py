"""The table of tasks: every family's, under the names that users meet."""

from __future__ import annotations

import pytest

from configs.engines import GENERATION_TASKS, HEADS
from configs.profile_file import load_profile
from configs.rules import DEFAULT_MODELS
from serve_app.ingress.routes.inference_router import hub_tasks_of
from serve_app.registry.families import shipped_families
from serve_app.registry.task_names import all_tasks, shipped_routers

TASKS = {task.name: task for task in all_tasks()}


def test_every_task_that_the_service_knows_of_is_some_familys() -> None:
    known = {
        *HEADS,
        *GENERATION_TASKS,
        *DEFAULT_MODELS.values(),
        *(task.model_task for task in hub_tasks_of(shipped_routers())),
    }
    known |= {task for model in load_profile("embedded").models for task in model.tasks}
    assert known <= set(TASKS)


def test_every_task_is_explained_and_leads_somewhere() -> None:
    for task in TASKS.values():
        assert task.about
        assert task.families
        assert task.routes or task.hugging_face


def test_every_family_that_comes_with_the_service_is_there() -> None:
    assert {path.partition(":")[2] for path in shipped_families()} == {
        "Captioning",
        "Classification",
        "Embeddings",
        "Entities",
        "Generation",
        "ImageGeneration",
        "Reranking",
        "Summarization",
        "Transcription",
        "Vision",
    }


@pytest.mark.parametrize(
    ("name", "route", "step", "hugging_face"),
    [
        ("sentiment", "/api/v1/huggingface/classify", "classify", "text-classification"),
        ("image_classify", "/api/v1/huggingface/vision/classify", "classify_image", "image-class"),
        ("generate", "/v1/completions", "generate", "text-generation"),
        ("embed", "/api/v1/huggingface/cluster", "search", "sentence-similarity"),
        ("zero_shot", "/api/v1/huggingface/topics", "topics", "zero-shot-classification"),
    ],
)
def test_a_task_has_its_routes_and_its_other_names(
    name: str, route: str, step: str, hugging_face: str
) -> None:
    task = TASKS[name]
    assert route in task.routes
    assert step in task.steps
    assert any(word.startswith(hugging_face) for word in task.hugging_face)
