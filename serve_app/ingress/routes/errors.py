"""Errors of the native API: the envelope of every path that is not another API's."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from serve_app.ingress.error_answers import ErrorDialect
from serve_app.ingress.errors import ServiceError


class NativeError(BaseModel):
    """The envelope of every error outside ``/v1`` and ``/models``."""

    success: Literal[False]
    error_type: str
    message: str
    details: dict[str, Any]
    timestamp: str
    request_id: str


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": NativeError, "description": "The request is at fault."},
    "5XX": {"model": NativeError, "description": "The service is at fault."},
}
"""OpenAPI's description of errors."""


def native_envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    return {
        "success": False,
        "error_type": error.error_type,
        "message": error.message,
        "details": error.details,
        "timestamp": datetime.now(UTC).isoformat(),
        "request_id": request_id,
    }


def item_error(error: ServiceError) -> dict[str, Any]:
    """The list entry for a failed item."""
    body: dict[str, Any] = {"error_type": error.error_type, "message": error.message}
    if error.field:
        body["field"] = error.field
    return {"error": body}


NATIVE_ERRORS = ErrorDialect(re.compile(".*", re.DOTALL), native_envelope)
