"""Typed decisions against the running graph, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

TORCH = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
BODY: dict[str, Any] = {
    "state": {"message": "I was charged twice for my order and want my money back."},
    "questions": {
        "refund": {"type": "noul", "instructions": "Is a refund requested?"},
        "tone": {
            "type": "choice",
            "instructions": "What is the tone?",
            "criteria": {"calm": "A polite message", "angry": None},
        },
        "urgency": {"type": "score", "criteria": ["Can wait", "This week", "Today"]},
    },
}


def test_each_question_gets_a_probability_of_every_option(client: httpx.Client) -> None:
    response = client.post("/v1/systemone", json=BODY)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["model"] == TORCH
    refund, tone, urgency = (answer["answers"][name] for name in BODY["questions"])
    assert 0 < refund["noul"] < 1
    assert set(tone["probabilities"]) == {"calm", "angry"}
    assert sum(tone["probabilities"].values()) == pytest.approx(1)
    assert tone["probabilities"][tone["choice"]] == max(tone["probabilities"].values())
    assert urgency["legend"] == {"0": "Can wait", "1": "This week", "2": "Today"}
    assert 0 < urgency["score"] < 2
    assert answer["usage"]["output_tokens"] == 0
    assert answer["usage"]["input_tokens"] > 100


def test_another_state_has_other_answers(client: httpx.Client) -> None:
    other = {**BODY, "state": {"message": "Thank you, all is well."}}
    first, second = (client.post("/v1/systemone", json=each).json() for each in (BODY, other))
    assert first["answers"] != second["answers"]


def test_a_model_of_the_openvino_engine_names_one_that_can(client: httpx.Client) -> None:
    named = {**BODY, "model": "SmolLM2-135M-Instruct"}
    response = client.post("/v1/systemone", json=named)
    assert response.status_code == 400
    assert TORCH in response.json()["error"]["message"]
