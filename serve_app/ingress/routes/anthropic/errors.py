"""Errors of Anthropic's API: the envelope that its clients parse into their exceptions."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel

from serve_app.ingress import errors
from serve_app.ingress.error_answers import ErrorDialect
from serve_app.ingress.errors import ServiceError

WORDS: dict[type[ServiceError], str] = {
    errors.AuthenticationError: "authentication_error",
    errors.AuthorizationError: "permission_error",
    errors.NotFound: "not_found_error",
    errors.PayloadTooLarge: "request_too_large",
    errors.TooManyRequests: "rate_limit_error",
    errors.Unavailable: "overloaded_error",
    errors.DeadlineExceeded: "timeout_error",
}
"""Anthropic's word by class; other classes have that of their status."""


class AnthropicErrorBody(BaseModel):
    type: str
    message: str


class AnthropicError(BaseModel):
    """The envelope under ``/v1/messages``."""

    type: Literal["error"]
    error: AnthropicErrorBody
    request_id: str


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": AnthropicError, "description": "The request is at fault."},
    "5XX": {"model": AnthropicError, "description": "The service is at fault."},
}


def anthropic_envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    default = "invalid_request_error" if error.status < 500 else "api_error"
    word = next((WORDS[each] for each in type(error).__mro__ if each in WORDS), default)
    told = {"type": word, "message": error.named}
    return {"type": "error", "error": told, "request_id": request_id}


ANTHROPIC_ERRORS = ErrorDialect(
    re.compile(r"(/models/.+)?/v1/messages(/count_tokens)?", re.DOTALL), anthropic_envelope
)
