"""What routing and validation refuse is answered like every other error, and names its fields."""

from __future__ import annotations

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from serve_app.ingress.error_handlers import from_http, from_validation


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, 404), (405, 405), (413, 413), (415, 415), (400, 400), (422, 400), (500, 500)],
)
def test_what_the_framework_refuses_has_our_status(status: int, expected: int) -> None:
    assert from_http(HTTPException(status, "why")).status == expected


def test_a_method_that_is_not_allowed_keeps_the_list_of_those_that_are() -> None:
    error = from_http(HTTPException(405, headers={"Allow": "POST"}))
    assert error.headers == {"Allow": "POST"}


def test_the_frameworks_own_failure_is_not_shown() -> None:
    assert "secret" not in from_http(HTTPException(500, "secret")).message


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
    error = from_validation(RequestValidationError([item]))
    assert error.field == name
    assert error.details["field_errors"] == {name: "this field is required"}


def test_all_bad_fields_are_named_each_once() -> None:
    items = [
        {"type": "missing", "loc": ("body", "prompt"), "msg": "Field required"},
        {"type": "string_type", "loc": ("body", "stop", "str"), "msg": "pydantic's"},
        {"type": "list_type", "loc": ("body", "stop", "list[str]"), "msg": "pydantic's"},
        {"type": "extra_forbidden", "loc": ("body", "tempreature"), "msg": "Extra inputs"},
    ]
    error = from_validation(RequestValidationError(items))
    assert error.details["field_errors"] == {
        "prompt": "this field is required",
        "stop": "expected a string",
        "tempreature": "this field is not known here",
    }
    assert all(name in error.message for name in ("prompt", "stop", "tempreature"))


def test_a_message_names_at_most_twenty_fields() -> None:
    items = [{"type": "missing", "loc": ("body", f"f{i}"), "msg": ""} for i in range(50)]
    error = from_validation(RequestValidationError(items))
    assert error.message.count("required") == 20
    assert len(error.details["field_errors"]) == 20


def test_the_answer_does_not_grow_with_a_fields_name() -> None:
    item = {"type": "extra_forbidden", "loc": ("body", "x" * 100_000), "msg": ""}
    assert len(from_validation(RequestValidationError([item])).message) < 300


@pytest.mark.parametrize("name", ["str", "a]", "query"])
def test_an_unknown_field_is_named_whatever_it_is_called(name: str) -> None:
    item = {"type": "extra_forbidden", "loc": ("body", name), "msg": ""}
    assert from_validation(RequestValidationError([item])).field == name


def test_our_own_checks_speak_without_pydantics_prefix() -> None:
    item = {"type": "value_error", "loc": ("body",), "msg": "Value error, a needs b"}
    assert from_validation(RequestValidationError([item])).message == "body: a needs b"


def test_a_body_that_is_no_json_is_the_bodys_fault_not_a_fields() -> None:
    ctx = {"error": "EOF while parsing"}
    item = {"type": "json_invalid", "loc": ("body", 0), "msg": "JSON decode error", "ctx": ctx}
    error = from_validation(RequestValidationError([item]))
    assert error.field == "body"
    assert error.message == "body: the body is not valid JSON (EOF while parsing)"
