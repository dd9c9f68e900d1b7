"""``POST /translate`` and ``/text2text``, and Hugging Face's tasks, without a model."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryResult
from deployments.seam.text2text import Text2TextOutput, Text2TextRequest, Text2TextResult
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.one_family import MODEL, application, field_errors, posted
from tests.serve_app.local_handle import Family

FERRY = Text2TextOutput("die Fähre", 5, 3)
LONG = Problem("validation", "too long")
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def served(family: Family) -> Any:
    return application(family, "translation", "translate", "text2text")


async def test_a_text_has_its_translation_and_what_it_cost() -> None:
    family = Family(Text2TextResult((FERRY,)))
    body = {"texts": "the ferry", "source_lang": "en", "target_lang": "de", "max_new_tokens": 9}
    answer = (await posted(served(family), "translate", **body, truncate=True)).json()
    assert (answer["translation"], answer["usage"], answer["model"]) == ("die Fähre", USAGE, MODEL)
    assert family.asked == [Text2TextRequest(MODEL, ("the ferry",), True, "en", "de", 9, True)]


async def test_other_texts_need_no_languages() -> None:
    family = Family(Text2TextResult((FERRY,)))
    answer = (await posted(served(family), "text2text", texts="the ferry")).json()
    assert (answer["text"], answer["usage"]) == ("die Fähre", USAGE)
    assert family.asked == [Text2TextRequest(MODEL, ("the ferry",))]


@pytest.mark.parametrize(("route", "name"), [("translate", "translation"), ("text2text", "text")])
async def test_in_a_list_a_bad_text_fails_alone(route: str, name: str) -> None:
    family = Family(Text2TextResult((FERRY, LONG)))
    good, empty, long = (await posted(served(family), route, texts=["a", "", "b"])).json()
    assert good == {name: "die Fähre"}
    assert empty["error"]["message"] == "the text is empty"
    assert long["error"]["message"] == "too long"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("max_new_tokens", {"max_new_tokens": 0}),
        ("source_lang", {"source_lang": ""}),
        ("target_lang", {"target_lang": "x" * 41}),
        ("min_length", {"min_length": 1}),
    ],
)
async def test_fields_at_fault_are_named(field: str, wrong: dict[str, Any]) -> None:
    assert list(await field_errors(served(Family()), "translate", texts="a", **wrong)) == [field]


async def test_a_language_that_the_model_does_not_have_is_a_400() -> None:
    family = Family(Problem("validation", "the model has no language 'xx'", "target_lang"))
    errors = await field_errors(served(family), "translate", texts="a", target_lang="xx")
    assert "'xx'" in errors["target_lang"]


async def test_steps_of_a_graph_translate_there_and_back() -> None:
    steps = [
        {"id": "there", "task": "translate", "inputs": {"texts": "a", "target_lang": "de"}},
        {"id": "back", "task": "text2text", "inputs": {"texts": "$there.translation"}},
    ]
    family = Family(Text2TextResult((FERRY,)), Text2TextResult((FERRY,)))
    answer = (await posted(served(family), "graph", steps=steps)).json()
    assert [each["status"] for each in answer["steps"]] == ["ok", "ok"]
    assert family.asked[1].texts == ("die Fähre",)


async def test_hugging_faces_clients_translate() -> None:
    family = Family(Text2TextResult((FERRY,)))
    parameters = {
        "src_lang": "en",
        "tgt_lang": "de",
        "truncation": "only_first",
        "generate_parameters": {"max_new_tokens": 7},
        "clean_up_tokenization_spaces": False,
    }
    body = {"inputs": "the ferry", "parameters": parameters}
    assert await hub.post(family, "translate", body) == [{"translation_text": "die Fähre"}]
    assert family.asked == [Text2TextRequest(hub.MODEL, ("the ferry",), True, "en", "de", 7, True)]


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("", {}, "translation_text"),
        ("", {"parameters": {"tgt_lang": "de"}}, "translation_text"),
        ("", {"parameters": {"details": False}, "stream": False}, "generated_text"),
        ("/pipeline/translation", {}, "translation_text"),
        ("/pipeline/text2text-generation", {"parameters": {}}, "generated_text"),
    ],
)
async def test_a_model_of_both_tasks_does_what_the_request_says(
    path: str, body: dict[str, Any], answer: str
) -> None:
    family, body = Family(Text2TextResult((FERRY,))), {"inputs": "a", **body}
    given = await hub.post(family, "translate text2text", body, f"{hub.MODEL}{path}")
    assert given == [{answer: "die Fähre"}]


async def test_a_bare_text_is_summarised_by_a_model_that_does_everything() -> None:
    family = Family(SummaryResult((Summary("short", 9, 2),)))
    answer = await hub.post(family, "summarize translate text2text", {"inputs": "a"})
    assert answer == [{"summary_text": "short"}]


async def test_hugging_faces_clients_get_an_entry_for_each_text() -> None:
    family = Family(Text2TextResult((FERRY, LONG)))
    good, bad = await hub.post(family, "text2text", {"inputs": ["a", "b"], "stream": False})
    assert good == {"generated_text": "die Fähre"}
    assert bad == {"error": "too long", "error_type": "validation"}


@pytest.mark.parametrize(
    ("tasks", "field", "body"),
    [
        ("text2text", "stream", {"stream": True}),
        ("text2text", "parameters.do_sample", {"parameters": {"do_sample": True}}),
        ("text2text", "parameters.details", {"parameters": {"details": True}}),
        (
            "translate",
            "parameters.generate_parameters.num_beams",
            {"parameters": {"generate_parameters": {"num_beams": 4}}},
        ),
        (
            "translate",
            "parameters.max_new_tokens",
            {"parameters": {"max_length": 4, "generate_parameters": {"max_length": 5}}},
        ),
    ],
)
async def test_what_cannot_be_is_named_as_it_was_sent(
    tasks: str, field: str, body: dict[str, Any]
) -> None:
    response = await hub.refused(Family(), tasks, {"inputs": "a"} | body)
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == [field]


async def test_a_problem_of_the_model_side_has_the_clients_name_of_the_field() -> None:
    problem = Problem("validation", "the model translates en to de", "target_lang")
    response = await hub.refused(Family(problem), "translate", {"inputs": "a"})
    assert list(response.json()["details"]["field_errors"]) == ["parameters.tgt_lang"]
