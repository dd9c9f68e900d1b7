"""Errors: one tree, three envelopes, and nothing of the inside in either."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from deployments.seam.problems import Problem, ProblemKind
from serve_app.ingress import errors
from serve_app.ingress.errors import ServiceError

MESSAGE = "What went wrong."
MADE: list[tuple[ServiceError, int, str]] = [
    (errors.ValidationFailed(MESSAGE), 400, "validation_error"),
    (errors.NotFound(MESSAGE), 404, "not_found_error"),
    (errors.ModelNotFound("a/b", ["c/d"], "model"), 404, "not_found_error"),
    (errors.MethodNotAllowed(MESSAGE), 405, "method_not_allowed"),
    (errors.PayloadTooLarge(MESSAGE), 413, "payload_too_large"),
    (errors.UnsupportedMediaType(MESSAGE), 415, "unsupported_media_type"),
    (errors.TooManyRequests(MESSAGE), 429, "rate_limit_error"),
    (errors.InternalError(), 500, "internal_error"),
    (errors.Unavailable(MESSAGE), 503, "service_unavailable"),
    (errors.DeadlineExceeded(MESSAGE), 504, "timeout"),
]


def body(error: ServiceError, path: str) -> Any:
    return json.loads(bytes(errors.answer(error, path, "id-1").body))


@pytest.mark.parametrize(("error", "status", "error_type"), MADE)
def test_the_native_envelope_is_whole(error: ServiceError, status: int, error_type: str) -> None:
    response = errors.answer(error, "/api/v1/huggingface/generate", "id-1")
    assert response.status_code == status
    found = json.loads(bytes(response.body))
    assert datetime.fromisoformat(found.pop("timestamp")).tzinfo
    assert found == {
        "success": False,
        "error_type": error_type,
        "message": error.message,
        "details": error.details,
        "request_id": "id-1",
    }


@pytest.mark.parametrize(("error", "status", "error_type"), MADE)
def test_the_openai_envelope_is_whole(error: ServiceError, status: int, error_type: str) -> None:
    response = errors.answer(error, "/v1/chat/completions", "id-1")
    assert response.status_code == status
    assert json.loads(bytes(response.body)) == {
        "error": {
            "message": error.message,
            "type": error.openai_type,
            "param": error.field,
            "code": error.code,
        }
    }
    assert (error.openai_type == "server_error") == (status >= 500)
    assert error_type


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing"])
def test_under_v1_errors_are_openais(path: str) -> None:
    assert set(body(errors.NotFound(MESSAGE), path)) == {"error"}


@pytest.mark.parametrize("path", ["/", "/v1x", "/api/v1/huggingface", "/health"])
def test_elsewhere_errors_are_native(path: str) -> None:
    assert body(errors.NotFound(MESSAGE), path)["error_type"] == "not_found_error"


@pytest.mark.parametrize("error", [errors.TooManyRequests(MESSAGE), errors.Unavailable(MESSAGE)])
def test_who_may_come_again_is_told_when_in_whole_seconds(error: ServiceError) -> None:
    response = errors.answer(error, "/", "id-1")
    assert int(response.headers["retry-after"]) >= 1


def test_a_model_that_is_not_found_is_named_beside_those_that_are() -> None:
    error = errors.ModelNotFound("a/b", ["c/d", "e/f"], "model_name")
    assert error.message.endswith("Available: c/d, e/f.")
    assert error.details == {"model": "a/b", "available": ["c/d", "e/f"]}
    assert errors.ModelNotFound("a/b", [], "model").message.endswith("Available: none.")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("validation", 400),
        ("not_found", 404),
        ("overloaded", 429),
        ("unavailable", 503),
        ("timeout", 504),
        ("internal", 500),
    ],
)
def test_each_kind_of_problem_has_its_status(kind: ProblemKind, status: int) -> None:
    assert errors.from_problem(Problem(kind, MESSAGE)).status == status


def test_an_internal_problem_does_not_show_its_message() -> None:
    assert MESSAGE not in errors.from_problem(Problem("internal", MESSAGE)).message


def test_a_problems_field_is_called_what_the_route_calls_it() -> None:
    problem = Problem("validation", MESSAGE, "max_new_tokens")
    error = errors.from_problem(problem, {"max_new_tokens": "max_tokens"})
    assert error.field == "max_tokens"
    assert error.details["field_errors"] == {"max_tokens": MESSAGE}
    assert errors.from_problem(problem).field == "max_new_tokens"


def test_an_item_that_fails_alone_says_why_and_where() -> None:
    found = errors.item_error(errors.ValidationFailed(MESSAGE, field="texts"))
    assert found["error"] == {
        "error_type": "validation_error",
        "message": MESSAGE,
        "field": "texts",
    }
    assert "field" not in errors.item_error(errors.ValidationFailed(MESSAGE))["error"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, 404), (405, 405), (413, 413), (415, 415), (400, 400), (422, 400), (500, 500)],
)
def test_what_the_framework_refuses_has_our_status(status: int, expected: int) -> None:
    assert errors.from_http(HTTPException(status, "why")).status == expected


def test_a_method_that_is_not_allowed_keeps_the_list_of_those_that_are() -> None:
    error = errors.from_http(HTTPException(405, headers={"Allow": "POST"}))
    assert error.headers == {"Allow": "POST"}


def test_the_frameworks_own_failure_is_not_shown() -> None:
    assert "secret" not in errors.from_http(HTTPException(500, "secret")).message


@pytest.mark.parametrize(
    ("location", "name"),
    [
        (("body", "temperature"), "temperature"),
        (("body", "texts", "list[str]", 3), "texts.3"),
        (("body", "texts", "str"), "texts"),
        (
            ("body", "messages", 0, "content", "list[TextPart]", 1, "text"),
            "messages.0.content.1.text",
        ),
        (("body", "logit_bias", "cat", "[key]"), "logit_bias.cat"),
        (("body",), "body"),
        (("body", "query"), "query"),
        (("body", "path"), "path"),
        (("query", "limit"), "limit"),
    ],
)
def test_a_bad_field_is_called_what_the_client_calls_it(
    location: tuple[str | int, ...], name: str
) -> None:
    item = {"type": "missing", "loc": location, "msg": "Field required", "input": None}
    error = errors.from_validation(RequestValidationError([item]))
    assert error.field == name
    assert error.details["field_errors"] == {name: "this field is required"}


def test_all_bad_fields_are_named_each_once() -> None:
    items = [
        {"type": "missing", "loc": ("body", "prompt"), "msg": "Field required"},
        {"type": "string_type", "loc": ("body", "stop", "str"), "msg": "pydantic's"},
        {"type": "list_type", "loc": ("body", "stop", "list[str]"), "msg": "pydantic's"},
        {"type": "extra_forbidden", "loc": ("body", "tempreature"), "msg": "Extra inputs"},
    ]
    error = errors.from_validation(RequestValidationError(items))
    assert error.details["field_errors"] == {
        "prompt": "this field is required",
        "stop": "expected a string",
        "tempreature": "this field is not known here",
    }
    assert all(name in error.message for name in ("prompt", "stop", "tempreature"))


def test_a_message_names_at_most_twenty_fields() -> None:
    items = [{"type": "missing", "loc": ("body", f"f{i}"), "msg": ""} for i in range(50)]
    error = errors.from_validation(RequestValidationError(items))
    assert error.message.count("required") == 20
    assert len(error.details["field_errors"]) == 20


def test_the_answer_does_not_grow_with_a_fields_name() -> None:
    item = {"type": "extra_forbidden", "loc": ("body", "x" * 100_000), "msg": ""}
    assert len(errors.from_validation(RequestValidationError([item])).message) < 300


@pytest.mark.parametrize("name", ["str", "a]", "query"])
def test_an_unknown_field_is_named_whatever_it_is_called(name: str) -> None:
    item = {"type": "extra_forbidden", "loc": ("body", name), "msg": ""}
    assert errors.from_validation(RequestValidationError([item])).field == name


def test_our_own_checks_speak_without_pydantics_prefix() -> None:
    item = {"type": "value_error", "loc": ("body",), "msg": "Value error, a needs b"}
    assert errors.from_validation(RequestValidationError([item])).message == "body: a needs b"


def test_a_body_that_is_no_json_is_the_bodys_fault_not_a_fields() -> None:
    ctx = {"error": "EOF while parsing"}
    item = {"type": "json_invalid", "loc": ("body", 0), "msg": "JSON decode error", "ctx": ctx}
    error = errors.from_validation(RequestValidationError([item]))
    assert error.field == "body"
    assert error.message == "body: the body is not valid JSON (EOF while parsing)"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (errors.ValidationFailed("no"), "validation"),
        (errors.TooManyRequests("wait"), "overloaded"),
        (errors.InternalError(), "generation"),
        (errors.Unavailable("loading"), None),
        (errors.NotFound("nothing"), None),
    ],
)
def test_hugging_faces_envelope_has_tgis_word_where_it_has_one(
    error: ServiceError, word: str | None
) -> None:
    answered = body(error, "/models/house/model")
    assert answered["error"] == error.message
    assert (answered["error_type"], answered["request_id"]) == (word, "id-1")


@pytest.mark.parametrize("path", ["/models/a/b/v1/chat/completions", "/v1/models", "/v1"])
def test_openais_envelope_goes_where_openais_client_asks(path: str) -> None:
    answered = body(errors.NotFound("nothing"), path)
    assert set(answered["error"]) == {"message", "type", "param", "code"}
