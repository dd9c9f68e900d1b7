"""Errors of TEI's routes, with its words for the kinds of error."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel

from serve_app.ingress.error_answers import ErrorDialect
from serve_app.ingress.errors import InternalError, ServiceError, TooManyRequests, Unavailable


class TeiError(BaseModel):
    """The envelope of TEI's routes; ``message`` is for Cohere's clients, which share a path."""

    error: str
    error_type: Literal["Validation", "Overloaded", "Unhealthy", "Backend"]
    message: str
    details: dict[str, Any]
    request_id: str


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": TeiError, "description": "The request is at fault."},
    "5XX": {"model": TeiError, "description": "The service is at fault."},
}


def tei_envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    return {
        "error": error.message,
        "error_type": _error_type(error),
        "message": error.message,
        "details": error.details,
        "request_id": request_id,
    }


def _error_type(error: ServiceError) -> str:
    match error:
        case TooManyRequests():
            return "Overloaded"
        case Unavailable():
            return "Unhealthy"
        case InternalError():
            return "Backend"
    return "Validation" if error.status < 500 else "Backend"


TEI_ERRORS = ErrorDialect(
    re.compile(
        r"(?!/models/.*/pipeline/[^/]+$)(/models/.+)?/(embed|similarity|rerank|predict)", re.DOTALL
    ),
    tei_envelope,
)
