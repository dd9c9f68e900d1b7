"""``POST /question-answering``, its step, and Hugging Face's task, without a model."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.seam.problems import Problem
from deployments.seam.question_answering import (
    AnswerSpan,
    ContextQuestionRequest,
    ContextQuestionResult,
)
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.one_family import MODEL, application, field_errors, posted
from tests.serve_app.local_handle import Family

QUESTION, CONTEXT = "Where does Anna live?", "Anna lives in Bonn."
BONN, ANNA = AnswerSpan("Bonn", 0.75, 14, 18), AnswerSpan("Anna", 0.125, 0, 4)
SHOWN = {"answer": "Bonn", "score": 0.75, "start": 14, "end": 18}
SHOWN_TOO = {"answer": "Anna", "score": 0.125, "start": 0, "end": 4}
BODY = {"question": QUESTION, "context": CONTEXT}


async def test_the_best_answer_is_the_answer() -> None:
    family = Family(ContextQuestionResult((BONN,), (12,)))
    served = application(family, "question_answering", "question_answering")
    answer = (await posted(served, "question-answering", **BODY)).json()
    assert SHOWN.items() <= answer.items()
    assert "answers" not in answer
    assert answer["model"] == MODEL
    assert family.asked == [ContextQuestionRequest(MODEL, QUESTION, CONTEXT)]


async def test_several_answers_come_beside_the_best() -> None:
    family = Family(ContextQuestionResult((BONN, ANNA)))
    served = application(family, "question_answering", "question_answering")
    answer = (await posted(served, "question-answering", **BODY, top_k=2)).json()
    assert SHOWN.items() <= answer.items()
    assert answer["answers"] == [SHOWN, SHOWN_TOO]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("question", {"question": " "}),
        ("context", {"context": ""}),
        ("context", {"context": "x" * 102_401}),
        ("top_k", {"top_k": 0}),
        ("top_k", {"top_k": 101}),
        ("questions", {"questions": ["a"]}),
    ],
)
async def test_fields_at_fault_are_named(field: str, wrong: dict[str, Any]) -> None:
    served = application(Family(), "question_answering", "question_answering")
    assert list(await field_errors(served, "question-answering", **(BODY | wrong))) == [field]


async def test_a_step_of_a_graph_answers_out_of_another_steps_answer() -> None:
    steps = [
        {"id": "who", "task": "question_answering", "inputs": BODY},
        {
            "id": "next",
            "task": "question_answering",
            "inputs": {"question": "What is ${who.answer}?", "context": CONTEXT},
        },
    ]
    family = Family(ContextQuestionResult((BONN,)), ContextQuestionResult((ANNA,)))
    served = application(family, "question_answering", "question_answering")
    answer = (await posted(served, "graph", steps=steps)).json()
    assert [each["status"] for each in answer["steps"]] == ["ok", "ok"]
    assert family.asked[1].question == "What is Bonn?"


async def test_hugging_faces_clients_get_one_object() -> None:
    family = Family(ContextQuestionResult((BONN,)))
    assert await hub.post(family, "question_answering", {"inputs": BODY}) == SHOWN


async def test_hugging_faces_clients_get_a_list_of_several_and_their_parameters_count() -> None:
    family = Family(ContextQuestionResult((BONN, ANNA)))
    parameters = {
        "top_k": 2,
        "align_to_words": False,
        "handle_impossible_answer": True,
        "max_answer_len": 3,
    }
    body = {"inputs": BODY, "parameters": parameters}
    assert await hub.post(family, "question_answering", body) == [SHOWN, SHOWN_TOO]
    assert family.asked == [ContextQuestionRequest(hub.MODEL, QUESTION, CONTEXT, 2, 3, False, True)]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("parameters.doc_stride", {"parameters": {"doc_stride": 4}}),
        ("parameters.max_seq_len", {"parameters": {"max_seq_len": 384}}),
        ("inputs.context", {"inputs": {"question": "a", "context": " "}}),
        ("inputs.question", {"inputs": {"context": "a"}}),
    ],
)
async def test_what_cannot_be_is_named_as_it_was_sent(field: str, change: dict[str, Any]) -> None:
    response = await hub.refused(Family(), "question_answering", {"inputs": BODY} | change)
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == [field]


async def test_a_problem_of_the_model_side_has_the_clients_name_of_the_field() -> None:
    problem = Problem("validation", "the question has 99 tokens", "question")
    response = await hub.refused(Family(problem), "question_answering", {"inputs": BODY})
    assert list(response.json()["details"]["field_errors"]) == ["inputs.question"]
