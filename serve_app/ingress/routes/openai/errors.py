"""Errors of OpenAI's API: the envelope that the ``openai`` clients parse into their exceptions."""

from __future__ import annotations

import re
from typing import Any

from serve_app.ingress import errors
from serve_app.ingress.error_answers import ErrorDialect
from serve_app.ingress.errors import ServiceError

CODES: dict[type[ServiceError], str] = {
    errors.ValidationFailed: "invalid_value",
    errors.ContextLengthExceeded: "context_length_exceeded",
    errors.AuthenticationError: "invalid_api_key",
    errors.AuthorizationError: "insufficient_permissions",
    errors.NotFound: "not_found",
    errors.ModelNotFound: "model_not_found",
    errors.MethodNotAllowed: "method_not_allowed",
    errors.RequestTimeout: "request_timeout",
    errors.PayloadTooLarge: "payload_too_large",
    errors.UnsupportedMediaType: "unsupported_media_type",
    errors.TooManyRequests: "rate_limit_exceeded",
    errors.Unavailable: "service_unavailable",
    errors.DeadlineExceeded: "timeout",
    ServiceError: "internal_error",
}
"""``code`` by class; a class that is not here has that of its nearest base."""


def openai_envelope(error: ServiceError) -> dict[str, Any]:
    """The envelope, as OpenAI's API reference has it under "Errors"."""
    return {
        "error": {
            "message": error.message,
            "type": _type(error.status),
            "param": error.field,
            "code": next(CODES[each] for each in type(error).__mro__ if each in CODES),
        }
    }


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


OPENAI_ERRORS = ErrorDialect(
    re.compile(r"/v1(/.*)?|/models/(.*/)?v1/.*|/(score|classify|pooling|(de)?tokenize)", re.DOTALL),
    lambda error, request_id: openai_envelope(error),
)
"""Under ``/v1``, in the OpenAI routes that Hugging Face's clients find below a model, and in the
routes that vLLM has beside them."""
