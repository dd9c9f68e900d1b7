"""What each task answers, in Hugging Face's shapes, and which one a request means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from deployments.seam.classification import (
    ClassificationRequest,
    ClassificationResult,
    LabelScore,
    ZeroShotRequest,
)
from deployments.seam.embeddings import EmbeddingRequest, EmbeddingResult
from deployments.seam.entities import Entity, EntityRequest, EntityResult
from deployments.seam.generation import GeneratedSequence, GenerationResult
from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.huggingface.hub import MODEL, post, refused
from tests.serve_app.local_handle import Family

RANKING = (LabelScore("good", 0.75), LabelScore("bad", 0.25))
SHOWN = [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}]
EMPTY = {"error": "the text is empty", "error_type": "validation"}


def embedded(*rows: list[float]) -> EmbeddingResult:
    return EmbeddingResult(np.array(rows, np.float32), (3,) * len(rows))


async def test_one_text_has_its_vector_in_a_list() -> None:
    family = Family(embedded([0.5, 0.25]))
    assert await post(family, "embed", {"inputs": "a cat"}) == [[0.5, 0.25]]
    assert family.asked == [EmbeddingRequest(MODEL, ("a cat",))]


async def test_options_of_vectors_sit_at_the_root() -> None:
    family = Family(embedded([1.0], [0.0]))
    options = {"normalize": False, "truncate": True, "dimensions": 1, "prompt_name": "query"}
    body = {"inputs": ["a", "b"], **options, "truncation_direction": "right", "parameters": {}}
    assert await post(family, "embed", body) == [[1.0], [0.0]]
    (asked,) = family.asked
    assert asked == EmbeddingRequest(MODEL, ("a", "b"), False, True, None, 1, "query")


async def test_a_text_that_has_no_vector_is_named_by_its_place() -> None:
    family = Family(embedded([1.0, 0.0]))
    response = await refused(family, "embed", {"inputs": ["a", " "]})
    assert response.json()["details"]["field_errors"] == {"inputs.1": "the text is empty"}


async def test_sentences_are_compared_with_their_source() -> None:
    family = Family(embedded([1.0, 0.0], [0.5, 0.5], [0.0, 1.0]))
    body = {"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}, "parameters": {}}
    assert await post(family, "embed", body) == [0.5, 0.0]


async def test_no_sentence_is_more_alike_than_itself_or_less_than_its_opposite() -> None:
    long = np.full((1, 3), 0.57735032, np.float32)  # a little longer than 1 by rounding
    assert float((long @ long.T)[0, 0]) > 1.0
    family = Family(EmbeddingResult(np.concatenate([long, long, -long]), (1, 1, 1)))
    body = {"inputs": {"source_sentence": "a", "sentences": ["a", "b"]}}
    assert await post(family, "embed", body) == [1.0, -1.0]


async def test_labels_of_a_text_are_nested() -> None:
    assert await post(Family(ClassificationResult((RANKING,))), "sentiment", {"inputs": "a"}) == [
        SHOWN
    ]


async def test_labels_are_scored_and_cut_as_asked() -> None:
    family = Family(ClassificationResult((RANKING,)))
    parameters = {"top_k": 1, "function_to_apply": "sigmoid"}
    answer = await post(family, "sentiment", {"inputs": "a", "parameters": parameters})
    assert answer == [SHOWN[:1]]
    assert family.asked == [ClassificationRequest(MODEL, ("a",), scores="sigmoid")]


async def test_a_bad_text_of_a_list_fails_alone() -> None:
    family = Family(ClassificationResult((RANKING, Problem("validation", "too long"))))
    too_long = {"error": "too long", "error_type": "validation"}
    answer = await post(family, "sentiment", {"inputs": ["a", "", "b"]})
    assert answer == [SHOWN, EMPTY, too_long]


async def test_a_bad_text_alone_is_a_400() -> None:
    response = await refused(Family(), "sentiment", {"inputs": ""})
    assert response.status_code == 400
    assert response.json()["details"]["field_errors"] == {"inputs": "inputs: the text is empty"}


async def test_labels_of_ones_own() -> None:
    family = Family(ClassificationResult((RANKING,)))
    parameters = {
        "candidate_labels": ["bad", "good"],
        "multi_label": True,
        "hypothesis_template": "It is {}.",
    }
    answer = await post(family, "rerank zero_shot", {"inputs": "a", "parameters": parameters})
    assert answer == SHOWN
    assert family.asked == [ZeroShotRequest(MODEL, ("a",), ("bad", "good"), True, "It is {}.")]


async def test_labels_of_ones_own_for_several_texts() -> None:
    family = Family(ClassificationResult((RANKING,)))
    body = {"inputs": ["a", ""], "parameters": {"candidate_labels": ["good", "bad"]}}
    assert await post(family, "zero_shot", body) == [SHOWN, EMPTY]


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("parameters", None),
        ("parameters.candidate_labels", {}),
        ("parameters.candidate_labels", {"candidate_labels": ["a", "a"]}),
        (
            "parameters.hypothesis_template",
            {"candidate_labels": ["a"], "hypothesis_template": "none"},
        ),
    ],
)
async def test_labels_that_are_none_are_named(field: str, parameters: Any) -> None:
    body = {"inputs": "a"} | ({} if parameters is None else {"parameters": parameters})
    response = await refused(Family(), "rerank zero_shot", body)
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == [field]


async def test_what_is_named_in_a_text() -> None:
    text = "Anna in Rome"
    family = Family(EntityResult(((Entity("NAME", 0.5, 0, 4), Entity("CITY", 0.25, 8, 12)),)))
    body = {"inputs": text, "parameters": {"ignore_labels": ["CITY"]}}
    (only,) = await post(family, "entities", body)
    assert only == {"entity_group": "NAME", "score": 0.5, "word": "Anna", "start": 0, "end": 4}
    assert family.asked == [EntityRequest(MODEL, (text,))]


async def test_pieces_have_the_models_own_tags() -> None:
    family = Family(EntityResult(((Entity("B-CITY", 0.5, 0, 2),),)))
    body = {"inputs": "Rome", "parameters": {"aggregation_strategy": "none"}}
    (only,) = await post(family, "entities", body)
    assert only == {"entity": "B-CITY", "score": 0.5, "word": "Ro", "start": 0, "end": 2}
    assert family.asked == [EntityRequest(MODEL, ("Rome",), "none")]


async def test_what_is_named_in_several_texts() -> None:
    family = Family(EntityResult(((),)))
    assert await post(family, "entities", {"inputs": ["a", ""]}) == [[], EMPTY]


@pytest.mark.parametrize(
    ("parameters", "bounds"),
    [
        ({}, (150, 50, False)),
        ({"max_length": 20}, (20, 20, False)),
        ({"generate_parameters": {"max_new_tokens": 40, "min_length": 4}}, (40, 4, False)),
        ({"min_new_tokens": 0, "truncation": "only_first"}, (150, 0, True)),
        ({"truncation": "do_not_truncate"}, (150, 50, False)),
        ({"clean_up_tokenization_spaces": False}, (150, 50, False)),
    ],
)
async def test_summaries(parameters: dict[str, Any], bounds: tuple[int, int, bool]) -> None:
    family = Family(SummaryResult((Summary("short", 9, 2),)))
    body = {"inputs": "long", "parameters": parameters}
    assert await post(family, "summarize", body) == [{"summary_text": "short"}]
    (request,) = family.asked
    assert isinstance(request, SummaryRequest)
    assert (request.max_new_tokens, request.min_new_tokens, request.truncate) == bounds
    given = parameters.get("generate_parameters", parameters)
    assert request.default_max is not any(name.startswith("max_") for name in given)
    assert request.default_min is not any(name.startswith("min_") for name in given)


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("parameters.generate_parameters.num_beams", {"generate_parameters": {"num_beams": 2}}),
        ("parameters.generate_parameters.min_length", {"min_length": 30, "max_length": 20}),
        ("parameters.truncation", {"truncation": "only_second"}),
        ("parameters.clean_up_tokenization_spaces", {"clean_up_tokenization_spaces": True}),
    ],
)
async def test_summaries_that_cannot_be_are_named(field: str, parameters: dict[str, Any]) -> None:
    response = await refused(Family(), "summarize", {"inputs": "a", "parameters": parameters})
    assert list(response.json()["details"]["field_errors"]) == [field]


@pytest.mark.parametrize(
    ("path", "parameters", "answer"),
    [
        (MODEL, {}, "generated_text"),
        (MODEL, {"max_new_tokens": 7}, "generated_text"),
        (MODEL, {"min_length": 3}, "summary_text"),
        (MODEL, {"generate_parameters": {}}, "summary_text"),
        (f"{MODEL}/pipeline/summarization", {}, "summary_text"),
        (f"{MODEL}/pipeline/text-generation", {}, "generated_text"),
        (f"{hub.ALIAS}/pipeline/summarization", {}, "summary_text"),
    ],
)
async def test_a_model_of_several_tasks_does_what_the_request_says(
    path: str, parameters: dict[str, Any], answer: str
) -> None:
    family = Family(GenerationResult(1, (GeneratedSequence("x", "stop", 1),)))
    if answer == "summary_text":
        family = Family(SummaryResult((Summary("x", 1, 1),)))
    body = {"inputs": "a", "parameters": parameters}
    assert await post(family, "generate chat summarize", body, path) == [{answer: "x"}]


async def test_a_task_that_the_model_does_not_do_is_404() -> None:
    body = {"inputs": "a"}
    path = f"{MODEL}/pipeline/summarization"
    response = await refused(Family(), "embed", body, path)
    assert response.status_code == 404
    assert response.json()["details"]["tasks"] == ["feature-extraction", "sentence-similarity"]
    assert (await refused(Family(), "rerank", body)).status_code == 404


@pytest.mark.parametrize("task", ["rerank", "embed", "similarity", "predict", "generate"])
async def test_a_task_named_as_another_servers_route_is_one_of_the_models(task: str) -> None:
    response = await refused(Family(), "embed", {"inputs": "a"}, f"{MODEL}/pipeline/{task}")
    assert (response.status_code, response.json()["error"]) == (404, f"{MODEL} does not do {task}.")
    assert response.json()["details"]["tasks"] == ["feature-extraction", "sentence-similarity"]


async def test_an_unknown_model_lists_what_there_is() -> None:
    response = await refused(Family(), "embed", {"inputs": "a"}, "no/such")
    assert response.status_code == 404
    assert response.json()["details"]["available"] == [MODEL]
    assert response.json()["error_type"] is None


async def test_options_and_headers_of_the_hosted_api_do_no_harm() -> None:
    headers = {"x-wait-for-model": "true", "x-use-cache": "false"}
    body = {"inputs": "a", "options": {"use_cache": False, "wait_for_model": True}}
    async with hub.client(Family(embedded([1.0])), "embed") as client:
        assert (await client.post(MODEL, json=body, headers=headers)).json() == [[1.0]]


async def test_a_model_that_is_not_there_yet_is_503_with_a_time_to_wait() -> None:
    family = Family(Problem("unavailable", "the model is loading"))
    response = await refused(family, "embed", {"inputs": "a"})
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert (response.json()["error"], response.json()["error_type"]) == (
        "the model is loading",
        None,
    )


async def sent(content: bytes, **headers: str) -> httpx.Response:
    async with hub.client(Family(embedded([1.0])), "embed") as client:
        return await client.post(MODEL, content=content, headers=headers)


async def test_json_needs_no_content_type() -> None:
    assert (await sent(b' {"inputs": "a"}')).json() == [[1.0]]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"\x89PNG", "image/png", 415),
        (b"\x89PNG", "application/octet-stream", 415),
        (b'{"inputs": ', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"inputs": "a", "wait": 1}', "application/json", 400),
        (b'{"inputs": NaN}', "application/json", 400),
    ],
)
async def test_bodies_that_are_none_are_refused(
    content: bytes, content_type: str, status: int
) -> None:
    response = await sent(content, **{"content-type": content_type})
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error", "error_type", "details", "request_id"}


async def test_a_body_over_the_limit_is_413_in_the_same_envelope() -> None:
    async with hub.client(Family(), "embed", max_body_bytes=1000) as client:
        whole = await client.post(MODEL, json={"inputs": "x" * 2000})

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 500

        headers = {"content-type": "application/octet-stream"}
        cut = await client.post(MODEL, content=pieces(), headers=headers)
    for response in (whole, cut):
        assert response.status_code == 413
        assert response.json()["error_type"] is None
        assert "1000" in response.json()["error"]
