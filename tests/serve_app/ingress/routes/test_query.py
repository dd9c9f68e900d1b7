"""``/query``: PRSM's question as the model is asked it, and the answer as PRSM reads it."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.seam.generation import GeneratedSequence, GenerationRequest, GenerationResult
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE, WINDOW, generated
from tests.serve_app.local_handle import Family

QUESTION = {"prompt": "Where?", "user_id": "ada"}


async def reaching(settings: dict[str, Any] | None = None, **body: Any) -> GenerationRequest:
    family = Family(generated("There."))
    application = house.app({"generation": family}, **(settings or {}))
    response = await house.post(application, f"{NATIVE}/query", {**QUESTION, **body})
    assert response.status_code == 200, response.text
    (request,) = family.asked
    assert isinstance(request, GenerationRequest)
    return request


def asked(request: GenerationRequest) -> str:
    (message,) = request.messages or ()
    assert message.role == "user"
    return message.content


async def refused(**body: Any) -> str:
    """The one field that is at fault."""
    application = house.app()
    response = await house.post(application, f"{NATIVE}/query", {**QUESTION, **body})
    assert response.status_code == 400, response.text
    (field,) = response.json()["details"]["field_errors"]
    return str(field)


async def test_the_answer_is_prsms_query_response() -> None:
    answer = GenerationResult(7, (GeneratedSequence(" There.\n", "length", 3),), "cuda:1")
    application = house.app({"generation": Family(answer)})
    response = await house.post(application, f"{NATIVE}/query", QUESTION)
    body = response.json()
    assert body.pop("query_id").startswith("hf_ada_")
    assert body.pop("execution_time") >= 0
    assert body.pop("request_id") == response.headers["x-request-id"]
    assert body == {
        "final_answer": "There.",
        "user_id": "ada",
        "model": FAST,
        "token_usage": 10,
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        "finish_reason": "length",
        "metadata": {"huggingface_integration": True, "device": "cuda:1"},
    }


async def test_no_two_queries_have_the_same_id() -> None:
    application = house.app({"generation": Family(generated("a"), generated("a"))})
    headers = {"x-request-id": "the-same"}
    ids = {
        (await house.post(application, f"{NATIVE}/query", QUESTION, **headers)).json()["query_id"]
        for _ in range(2)
    }
    assert len(ids) == 2


async def test_what_is_said_is_what_reaches_the_model() -> None:
    request = await reaching(max_tokens=9, temperature=0, model=FULL)
    assert (request.max_new_tokens, request.sampling.temperature, request.model) == (9, 0.0, FULL)
    assert asked(request) == "Where?"


async def test_what_is_not_said_is_as_the_settings_say() -> None:
    request = await reaching({"temperature": 0.3, "top_k": 5, "answer_max_new_tokens": 33})
    assert (request.max_new_tokens, request.model) == (33, FAST)
    assert (request.sampling.temperature, request.sampling.top_k) == (0.3, 5)


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        ("In Room 4.", "In Room 4."),
        ({"place": "Room 4", "floor": 2}, "place: Room 4\nfloor: 2"),
        (
            {"meeting": {"place": "Zürich", "at": [9, None]}},
            'meeting: {"place":"Zürich","at":[9,null]}',
        ),
        ({"atoms": [10**30]}, "atoms: [1" + 30 * "0" + "]"),
    ],
)
async def test_a_context_stands_before_the_question(context: Any, shown: str) -> None:
    assert asked(await reaching(context=context)) == f"{shown}\n\nWhere?"


@pytest.mark.parametrize("context", [None, "", {}])
async def test_an_empty_context_is_none(context: Any) -> None:
    assert asked(await reaching(context=context)) == "Where?"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 200_000}, "prompt"),
        ({"context": "x" * 200_000}, "context"),
        ({"context": {"a": {"b": "x" * 200_000}}}, "context"),
        ({"context": ["a"]}, "context.str"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"user_id": "x" * 257}, "user_id"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": WINDOW + 1}, "max_tokens"),
        ({"temperature": 2.5}, "temperature"),
        ({"mood": "good"}, "mood"),
    ],
)
async def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    assert (await refused(**body)).startswith(field.partition(".")[0])


async def test_what_the_model_has_against_it_is_about_the_routes_fields() -> None:
    problem = Problem("validation", "too many", "max_new_tokens")
    application = house.app({"generation": Family(problem)})
    response = await house.post(application, f"{NATIVE}/query", QUESTION)
    assert response.json()["details"]["field_errors"] == {"max_tokens": "too many"}


async def test_an_unknown_model_is_a_404() -> None:
    body = {**QUESTION, "model": "no/such"}
    assert (await house.post(house.app(), f"{NATIVE}/query", body)).status_code == 404


async def test_a_context_is_written_out_up_to_the_limit_and_not_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[Any] = []

    def noting(value: Any) -> str:
        written.append(value)
        return str(value)

    monkeypatch.setattr("serve_app.ingress.routes.query._plain", noting)
    assert await refused(context={f"key{i}": i for i in range(90_000)}) == "context"
    assert len(written) < 12_000  # lines of at least nine characters, in 100 KiB


async def test_a_context_as_large_as_a_prompt_is_taken() -> None:
    context = {"a": "x" * 50, "b": 10**40}
    request = await reaching({"max_prompt_bytes": 98}, context=context)
    assert len(asked(request)) == 98 + len("\n\nWhere?")
    application = house.app(max_prompt_bytes=97)
    response = await house.post(application, f"{NATIVE}/query", {**QUESTION, "context": context})
    assert response.status_code == 400
