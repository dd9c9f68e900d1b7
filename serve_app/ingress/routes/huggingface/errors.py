"""Errors of the API that Hugging Face's clients and TGI's speak, under ``/models``."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel

from serve_app.ingress.error_answers import ErrorDialect
from serve_app.ingress.errors import (
    InternalError,
    ServiceError,
    TooManyRequests,
    ValidationFailed,
)


class HubError(BaseModel):
    """The envelope under ``/models``."""

    error: str
    error_type: Literal["validation", "generation", "overloaded"] | None
    details: dict[str, Any]
    request_id: str


def tgi_error_type(error: ServiceError) -> str | None:
    """TGI's word for this kind of error, if it has one."""
    match error:
        case ValidationFailed():
            return "validation"
        case TooManyRequests():
            return "overloaded"
        case InternalError():
            return "generation"
    return None


def hub_envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    """The error body of Hugging Face's clients: ``error`` is one text (TGI's ErrorResponse).

    ``error_type`` is null where TGI has no word. With a word the client raises the exception of
    that name and forgets the status; without one it raises the status.
    """
    return {
        "error": error.message,
        "error_type": tgi_error_type(error),
        "details": error.details,
        "request_id": request_id,
    }


HUB_ERRORS = ErrorDialect(
    re.compile(r"/models/.*|/generate(_stream)?|/info", re.DOTALL), hub_envelope
)
