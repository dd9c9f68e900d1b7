"""Answers to errors: one tree, three envelopes, and nothing of the inside in any of them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from serve_app.ingress import errors
from serve_app.ingress.errors import ServiceError
from serve_app.ingress.routes.dialects import error_answers
from serve_app.ingress.routes.errors import item_error

ANSWERS = error_answers()
OPENAI_TYPES = {
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "server_error",
}
MESSAGE = "What went wrong."
MADE: list[tuple[ServiceError, int, str, str]] = [
    (errors.ValidationFailed(MESSAGE), 400, "validation_error", "invalid_value"),
    (errors.NotFound(MESSAGE), 404, "not_found_error", "not_found"),
    (errors.ModelNotFound("a/b", ["c/d"], "model"), 404, "not_found_error", "model_not_found"),
    (errors.MethodNotAllowed(MESSAGE), 405, "method_not_allowed", "method_not_allowed"),
    (errors.PayloadTooLarge(MESSAGE), 413, "payload_too_large", "payload_too_large"),
    (errors.UnsupportedMediaType(MESSAGE), 415, "unsupported_media_type", "unsupported_media_type"),
    (errors.TooManyRequests(MESSAGE), 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.InternalError(), 500, "internal_error", "internal_error"),
    (errors.Unavailable(MESSAGE), 503, "service_unavailable", "service_unavailable"),
    (errors.DeadlineExceeded(MESSAGE), 504, "timeout", "timeout"),
]


def openai_type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def body(error: ServiceError, path: str) -> Any:
    return json.loads(bytes(ANSWERS.answer(error, path, "id-1").body))


def body_with(status: int, error: ServiceError, path: str) -> Any:
    """The body of an answer, which has this status."""
    assert ANSWERS.answer(error, path, "id-1").status_code == status
    return body(error, path)


@pytest.mark.parametrize(("error", "status", "error_type", "code"), MADE)
def test_the_native_envelope_is_whole(
    error: ServiceError, status: int, error_type: str, code: str
) -> None:
    found = body_with(status, error, "/api/v1/huggingface/generate")
    assert datetime.fromisoformat(found.pop("timestamp")).tzinfo
    assert found == {
        "success": False,
        "error_type": error_type,
        "message": error.message,
        "details": error.details,
        "request_id": "id-1",
    }


@pytest.mark.parametrize(("error", "status", "error_type", "code"), MADE)
def test_the_openai_envelope_is_whole(
    error: ServiceError, status: int, error_type: str, code: str
) -> None:
    assert body_with(status, error, "/v1/chat/completions") == {
        "error": {
            "message": error.message,
            "type": openai_type(status),
            "param": error.field,
            "code": code,
        }
    }


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing"])
def test_under_v1_errors_are_openais(path: str) -> None:
    assert set(body(errors.NotFound(MESSAGE), path)) == {"error"}


@pytest.mark.parametrize("path", ["/", "/v1x", "/api/v1/huggingface", "/health"])
def test_elsewhere_errors_are_native(path: str) -> None:
    assert body(errors.NotFound(MESSAGE), path)["error_type"] == "not_found_error"


@pytest.mark.parametrize("error", [errors.TooManyRequests(MESSAGE), errors.Unavailable(MESSAGE)])
def test_who_may_come_again_is_told_when_in_whole_seconds(error: ServiceError) -> None:
    response = ANSWERS.answer(error, "/", "id-1")
    assert int(response.headers["retry-after"]) >= 1


def test_an_item_that_fails_alone_says_why_and_where() -> None:
    found = item_error(errors.ValidationFailed(MESSAGE, field="texts"))
    assert found["error"] == {
        "error_type": "validation_error",
        "message": MESSAGE,
        "field": "texts",
    }
    assert "field" not in item_error(errors.ValidationFailed(MESSAGE))["error"]


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
