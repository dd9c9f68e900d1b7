"""Graph requests: tasks by name, values from step to step, and what the client gets to see."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.problems import Problem
from serve_app.ingress.errors import Unavailable
from serve_app.ingress.routes.native_router import NativeRouter, native_tasks
from tests.serve_app import house
from tests.serve_app.house import NATIVE, generated
from tests.serve_app.local_handle import FOREVER, Family, happens

GRAPH = f"{NATIVE}/graph"
GOOD = ClassificationResult(((LabelScore("POSITIVE", 0.9), LabelScore("NEGATIVE", 0.1)),))


def step(name: str, task: str, model_name: str | None = None, **inputs: Any) -> dict[str, Any]:
    return {"id": name, "task": task, "inputs": inputs, "model_name": model_name}


def two(*vectors: list[float]) -> EmbeddingResult:
    return EmbeddingResult(np.array(vectors, np.float32), (1,) * len(vectors), {})


async def test_answers_go_from_step_to_step_and_only_the_ends_travel() -> None:
    generation, classification = Family(generated(" A cat. ")), Family(GOOD)
    app = house.app({"generation": generation, "classification": classification})
    body = {
        "input": {"subject": "pets", "n": 5},
        "steps": [
            step("say", "generate", prompt="About ${input.subject}:", max_new_tokens="$input.n"),
            step("mood", "classify", texts="$say.generated_text"),
        ],
    }
    response = await house.post(app, GRAPH, body)
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"outputs", "steps", "request_id", "execution_time"}
    assert answer["request_id"] == response.headers["x-request-id"]
    assert answer["outputs"] == {
        "mood": {"text": "A cat.", "sentiment": "POSITIVE", "confidence": 0.9}
    }
    assert [
        (each["id"], each["task"], each["status"], each["model"]) for each in answer["steps"]
    ] == [
        ("say", "generate", "ok", house.FAST),
        ("mood", "classify", "ok", "house/mood"),
    ]
    first, second = answer["steps"]
    assert 0 <= first["started_at"] <= second["started_at"] <= answer["execution_time"]
    assert generation.asked[0].prompt == "About pets:"
    assert generation.asked[0].max_new_tokens == 5
    assert classification.asked[0].texts == ("A cat.",)


async def test_vectors_flow_between_steps_as_numbers() -> None:
    embeddings = Family(two([3.0, 4.0], [0.0, 2.0]))
    app = house.app({"embeddings": embeddings})
    body = {
        "steps": [
            step("v", "embeddings", texts=["a", "b"], normalize=False),
            step("s", "similarity", text1="$v.embeddings.0", text2="$v.embeddings.1"),
        ],
        "outputs": ["v", "s"],
    }
    answer = (await house.post(app, GRAPH, body)).json()
    assert answer["outputs"]["v"] == {"embeddings": [[3.0, 4.0], [0.0, 2.0]]}
    assert answer["outputs"]["s"]["similarity"] == pytest.approx(0.8)


async def test_independent_steps_are_with_their_models_at_the_same_time() -> None:
    generation, classification = Family(FOREVER), Family(FOREVER)
    app = house.app({"generation": generation, "classification": classification})
    steps = [step("a", "generate", prompt="x"), step("b", "classify", texts="y")]
    asking = asyncio.ensure_future(house.post(app, GRAPH, {"steps": steps}))
    await happens(generation.began)
    await happens(classification.began)
    asking.cancel()
    await happens(generation.stopped)
    await happens(classification.stopped)


async def test_a_named_model_does_its_step() -> None:
    generation = Family(generated("x"))
    app = house.app({"generation": generation})
    steps = [step("a", "generate", house.FULL, prompt="x")]
    answer = (await house.post(app, GRAPH, {"steps": steps})).json()
    assert answer["steps"][0]["model"] == house.FULL
    assert generation.asked[0].model == house.FULL


async def test_a_model_that_fails_fails_its_step_and_those_behind_it() -> None:
    app = house.app({"generation": Family(Unavailable("gone")), "classification": Family(GOOD)})
    steps = [
        step("a", "generate", prompt="x"),
        step("b", "classify", texts="$a.generated_text"),
        step("c", "classify", texts="z"),
    ]
    response = await house.post(app, GRAPH, {"steps": steps})
    assert response.status_code == 200
    answer = response.json()
    assert set(answer["outputs"]) == {"c"}
    a, b, c = answer["steps"]
    assert (a["status"], a["error"]["error_type"]) == ("failed", "service_unavailable")
    assert (b["status"], b["cause"], b["started_at"]) == ("skipped", "a", None)
    assert (c["status"], "error" in c) == ("ok", False)


async def test_what_a_task_refuses_is_named_as_an_input_of_the_step() -> None:
    app = house.app({"generation": Family(generated(""))})
    steps = [
        step("a", "generate", prompt="x"),
        step("b", "search", query_text="$a.generated_text", candidate_texts=["x"]),
        step("c", "cluster", texts=["x"], n_clusters=2),
        step("d", "generate", prompt="x", stream=True),
    ]
    _, b, c, d = (await house.post(app, GRAPH, {"steps": steps})).json()["steps"]
    assert b["error"]["field"] == "inputs.query_text"
    assert c["error"]["field"] == "inputs.n_clusters"
    assert d["error"]["field"] == "inputs.stream"


async def test_items_that_fail_alone_leave_their_step_ok() -> None:
    mixed = ClassificationResult((GOOD.items[0], Problem("validation", "too long")))
    app = house.app({"classification": Family(mixed, GOOD)})
    steps = [
        step("moods", "classify", texts=["good", "long"]),
        step("again", "classify", texts="${moods.0.sentiment}"),
        step("never", "classify", texts="${moods.1.sentiment}"),
    ]
    body = {"steps": steps, "outputs": ["moods"]}
    answer = (await house.post(app, GRAPH, body)).json()
    assert [each["status"] for each in answer["steps"]] == ["ok", "ok", "failed"]
    assert answer["outputs"]["moods"][1]["error"]["message"] == "too long"
    assert "too long" in answer["steps"][2]["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"steps": []}, "steps"),
        ({}, "steps"),
        ({"steps": [step("a b", "generate", prompt="x")]}, "steps.0.id"),
        ({"steps": [{**step("a", "generate", prompt="x"), "needs": "b"}]}, "steps.0.needs"),
        ({"steps": [step("a", "paint", prompt="x")]}, "steps.0.task"),
        ({"steps": [step("a", "generate", "no/such", prompt="x")]}, "steps.0.model_name"),
        ({"steps": [step("a", "classify", house.FAST, texts="x")]}, "steps.0.model_name"),
        (
            {"steps": [step("a", "generate", prompt="x", temperature=3)]},
            "steps.0.inputs.temperature",
        ),
        ({"steps": [step("a", "generate", prompt="$b.x")]}, "steps.0.inputs.prompt"),
        ({"steps": [step("a", "generate", prompt="$a.x")]}, "steps.0"),
        ({"steps": [step("a", "generate", prompt="x")] * 2}, "steps.1.id"),
        ({"steps": [step(f"s{i}", "generate", prompt="x") for i in range(33)]}, "steps"),
        ({"steps": [step("a", "generate", prompt="x")], "outputs": ["b"]}, "outputs.0"),
        ({"steps": [step("a", "generate", prompt="x")], "input": []}, "input"),
    ],
)
async def test_a_graph_that_cannot_work_is_refused_before_anything_runs(
    body: dict[str, Any], field: str
) -> None:
    generation = Family()
    response = await house.post(house.app({"generation": generation}), GRAPH, body)
    assert response.status_code == 400
    assert set(response.json()["details"]["field_errors"]) == {field}
    assert generation.asked == []


async def test_an_unknown_model_lists_those_for_the_task() -> None:
    body = {"steps": [step("a", "classify", "no/such", texts="x")]}
    message = (await house.post(house.app(), GRAPH, body)).json()["message"]
    assert "house/mood" in message
    assert house.FAST not in message


async def test_the_graph_has_a_deadline_of_its_own() -> None:
    generation = Family(FOREVER)
    app = house.app(
        {"generation": generation, "classification": Family(GOOD)}, graph_timeout_s=0.05
    )
    steps = [step("slow", "generate", prompt="x"), step("quick", "classify", texts="y")]
    response = await house.post(app, GRAPH, {"steps": steps})
    assert response.status_code == 200
    slow, quick = response.json()["steps"]
    assert (slow["status"], slow["error"]["error_type"]) == ("failed", "timeout")
    assert quick["status"] == "ok"
    await happens(generation.stopped)


async def test_the_bytes_between_steps_have_a_limit_of_their_own() -> None:
    app = house.app({"generation": Family(generated("x" * 450))}, max_graph_bytes=1000)
    steps = [
        step("a", "generate", prompt="x"),
        step("b", "generate", prompt="${a.generated_text}${a.generated_text}"),
    ]
    b = (await house.post(app, GRAPH, {"steps": steps})).json()["steps"][1]
    assert (b["status"], b["error"]["error_type"]) == ("failed", "payload_too_large")
    assert b["error"]["field"] == "inputs.prompt"


def test_two_routers_cannot_bring_the_same_task() -> None:
    router = house.app().state.tasks["generate"]
    first, second = NativeRouter("a"), NativeRouter("b")
    first.tasks.append(router)
    second.tasks.append(router)
    with pytest.raises(ValueError, match="'generate'"):
        native_tasks([first, second])
