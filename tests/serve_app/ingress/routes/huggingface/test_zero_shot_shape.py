"""Zero-shot answers, in the shape that each client's version reads."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.problems import Problem
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.huggingface.hub import MODEL
from tests.serve_app.local_handle import Family

RANKING = (LabelScore("good", 0.75), LabelScore("bad", 0.25))
ELEMENTS = [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}]
PYTHON = "unknown/None; hf_hub/{}; python/3.12.1; torch/2.4"
JAVASCRIPT = "@huggingface/inference/{} Node.js/22"


def columns(text: str) -> dict[str, Any]:
    return {"sequence": text, "labels": ["good", "bad"], "scores": [0.75, 0.25]}


async def answer(agent: str, inputs: str | list[str], *items: Any) -> Any:
    found = items or (RANKING,) * (1 if isinstance(inputs, str) else len(inputs))
    body = {"inputs": inputs, "parameters": {"candidate_labels": ["good", "bad"]}}
    async with hub.client(Family(ClassificationResult(found)), "zero_shot") as client:
        response = await client.post(MODEL, json=body, headers={"user-agent": agent})
        assert response.status_code == (400 if "error" in response.json() else 200)
        return response.json()


@pytest.mark.parametrize(
    ("agent", "of_text", "of_list_of_one"),
    [
        (PYTHON.format("0.36.0"), columns("a"), [columns("a")]),
        (PYTHON.format("1.1.7"), columns("a"), [columns("a")]),
        (PYTHON.format("1.2.0"), ELEMENTS, [ELEMENTS]),
        (PYTHON.format("2.4.0.dev0"), ELEMENTS, [ELEMENTS]),
        (JAVASCRIPT.format("3.9.0"), [columns("a")], [columns("a")]),
        (JAVASCRIPT.format("4.4.0"), [columns("a")], [columns("a")]),
        (JAVASCRIPT.format("4.5.0"), ELEMENTS, ELEMENTS),
        (JAVASCRIPT.format("10.0.1"), ELEMENTS, ELEMENTS),
        ("curl/8.5", ELEMENTS, [ELEMENTS]),
        ("", ELEMENTS, [ELEMENTS]),
    ],
)
async def test_one_text_has_the_shape_of_the_clients_version(
    agent: str, of_text: Any, of_list_of_one: Any
) -> None:
    assert await answer(agent, "a") == of_text
    assert await answer(agent, ["a"]) == of_list_of_one


async def test_several_texts_have_an_answer_each() -> None:
    assert await answer(JAVASCRIPT.format("4.5.0"), ["a", "b"]) == [ELEMENTS, ELEMENTS]
    assert await answer(JAVASCRIPT.format("4.0.0"), ["a", "b"]) == [columns("a"), columns("b")]


async def test_a_list_of_one_that_is_answered_bare_has_its_problem_as_the_answer() -> None:
    found = await answer(JAVASCRIPT.format("4.5.0"), ["a"], Problem("validation", "too long"))
    assert "too long" in found["error"]
