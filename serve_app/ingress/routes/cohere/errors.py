"""Errors of Cohere's API: the message that its clients put into their exceptions."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from serve_app.ingress.error_answers import ErrorDialect
from serve_app.ingress.errors import ServiceError


class CohereError(BaseModel):
    """The envelope under ``/v2`` and at ``/v1/embed``."""

    id: str
    message: str


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": CohereError, "description": "The request is at fault."},
    "5XX": {"model": CohereError, "description": "The service is at fault."},
}


def cohere_envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    return {"id": request_id, "message": error.named}


COHERE_ERRORS = ErrorDialect(re.compile(r"/v2(/.*)?|/v1/embed", re.DOTALL), cohere_envelope)
