"""The envelopes of errors, for the documentation; ``errors`` makes the answers themselves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class NativeError(BaseModel):
    """The envelope of every error outside ``/v1`` and ``/models``, which speak as others do."""

    success: Literal[False]
    error_type: str
    message: str
    details: dict[str, Any]
    timestamp: str
    request_id: str


class HubError(BaseModel):
    """The envelope under ``/models``."""

    error: str
    error_type: Literal["validation", "generation", "overloaded"] | None
    details: dict[str, Any]
    request_id: str


DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": NativeError, "description": "The request is at fault."},
    "5XX": {"model": NativeError, "description": "The service is at fault."},
}
"""OpenAPI's description of errors."""
