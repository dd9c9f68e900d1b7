"""``POST /v1/systemone``: the answers of ``transformers serve``, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from transformers.decision import DecisionConfig
from transformers.decision.template_utils import parse_questions

from deployments.seam.decisions import DecisionRequest, DecisionResult
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL
from tests.serve_app.local_handle import Family

ROUTE = "/v1/systemone"
QUESTIONS: dict[str, Any] = {
    "refund": {"type": "noul", "instructions": "Is a refund requested?"},
    "tone": {"type": "choice", "criteria": {"calm": "polite", "angry": None, "sad": {"a": 1}}},
    "only": {"type": "choice", "criteria": {"this": None}},
    "urgency": {"type": "score", "instructions": ["How?"], "criteria": ["later", "soon", "now"]},
    "one": {"type": "score", "criteria": ["always"]},
}
FOUND = (
    {"true": 0.75, "false": 0.25},
    {"calm": 0.125, "angry": 0.5, "sad": 0.375},
    {"this": 1.0},
    {"0": 0.125, "1": 0.25, "2": 0.625},
    {"0": 1.0},
)


async def test_answers_are_those_of_transformers() -> None:
    family = Family(DecisionResult(FOUND, 77))
    state = {"message": "Charged twice!", "tries": [1, 2]}
    body = {"model": FULL, "state": state, "questions": QUESTIONS}
    response = await house.post(house.app({"generation": family}), ROUTE, body)
    assert response.status_code == 200, response.text
    theirs = parse_questions(QUESTIONS, DecisionConfig())
    pairs = zip(theirs, FOUND, strict=True)
    assert response.json() == {
        "model": FULL,
        "answers": {each.name: each.answer(list(found.values())) for each, found in pairs},
        "usage": {"input_tokens": 77, "output_tokens": 0},
    }
    (asked,) = family.asked
    assert isinstance(asked, DecisionRequest)
    assert asked.state == state
    ours = [(each.name, each.kind, each.instructions, each.options) for each in asked.questions]
    expected = [
        (
            each.name,
            each.type,
            each.instructions,
            dict(zip(each.options, each.descriptions, strict=True)),
        )
        for each in theirs
    ]
    assert ours == expected


async def test_a_request_without_a_model_goes_to_one_that_can() -> None:
    family = Family(DecisionResult(FOUND[:1], 7))
    body = {"state": "Hi", "questions": {"a": QUESTIONS["refund"]}}
    response = await house.post(house.app({"generation": family}), ROUTE, body)
    assert response.json()["model"] == FULL


async def test_a_model_that_cannot_is_refused_with_those_that_can() -> None:
    body = {"model": FAST, "state": "Hi", "questions": {"a": QUESTIONS["refund"]}}
    response = await house.post(house.app(), ROUTE, body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "questions")
    assert f"These models can: {FULL}." in error["message"]


async def test_a_question_that_the_model_cannot_be_asked_is_named() -> None:
    family = Family(Problem("validation", "too many options", "questions.a.criteria"))
    body = {"state": "Hi", "questions": {"a": QUESTIONS["refund"]}}
    response = await house.post(house.app({"generation": family}), ROUTE, body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "questions.a.criteria")


MANY = {str(i): QUESTIONS["refund"] for i in range(65)}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"questions": {}}, "questions"),
        ({"questions": MANY}, "questions"),
        ({"questions": {"": QUESTIONS["refund"]}}, "questions"),
        ({"questions": {"a": {"type": "essay"}}}, "questions.a.type"),
        ({"questions": {"a": {"type": ["noul"]}}}, "questions.a.type"),
        ({"questions": {"a": {"instructions": "no type"}}}, "questions.a.type"),
        ({"questions": {"a": "what?"}}, "questions.a"),
        ({"questions": {"a": {"type": "choice"}}}, "questions.a.criteria"),
        ({"questions": {"a": {"type": "choice", "criteria": {}}}}, "questions.a.criteria"),
        ({"questions": {"a": {"type": "choice", "criteria": {"b": 7}}}}, "questions.a.criteria"),
        ({"questions": {"a": {"type": "score", "criteria": [None]}}}, "questions.a.criteria.0"),
        ({"questions": {"a": {"type": "noul", "criteria": {"maybe": "b"}}}}, "maybe"),
        ({"questions": {"a": {"type": "noul", "instructions": "x" * 102_401}}}, "questions.a"),
        ({"questions": {"a": {"type": "score", "criteria": [{"b": 2**70}]}}}, "questions.a"),
        ({"state": {"a": 2**70}}, "state"),
        ({"state": "x" * 102_401}, "state"),
        ({"state": 7}, "state"),
        ({"state": None}, "state"),
        ({"assets": {"img": {"data_base64": "AAAA"}}}, "assets"),
        ({"stream": True}, "stream"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    body = {"state": "Hi", "questions": {"a": QUESTIONS["refund"]}, **change}
    response = await house.post(house.app(), ROUTE, body)
    assert response.status_code == 400, response.text
    assert field in f"{response.json()['error']['param']}"
    assert len(response.content) < 1000


async def test_a_type_that_there_is_not_is_told_which_there_are() -> None:
    mistaken = {"type": "chioce", "criteria": {"a": None, "b": None}}
    body = {"state": "Hi", "questions": {"a": mistaken}}
    response = await house.post(house.app(), ROUTE, body)
    error = response.json()["error"]
    assert error["param"] == "questions.a.type"
    assert error["message"] == "questions.a.type: expected one of 'choice', 'score', 'noul'"


async def test_assets_may_be_empty() -> None:
    family = Family(DecisionResult(FOUND[:1], 7))
    body = {"state": "", "questions": {"a": QUESTIONS["refund"]}, "assets": {}}
    response = await house.post(house.app({"generation": family}), ROUTE, body)
    assert response.json()["answers"] == {"a": {"type": "noul", "noul": 0.75}}
