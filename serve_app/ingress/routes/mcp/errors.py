"""Errors of MCP: JSON-RPC's error object, where a message is refused before it is dispatched."""

from __future__ import annotations

import re
from typing import Any, Literal

from mcp_types import INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR
from pydantic import BaseModel

from serve_app.ingress.error_answers import ErrorDialect
from serve_app.ingress.errors import InvalidJson, ServiceError


class McpErrorData(BaseModel):
    """``data`` has the native API's ``error_type`` and details, and the request's id."""

    code: int
    message: str
    data: dict[str, Any]


class McpRefusal(BaseModel):
    """A message that was refused. Its ``id`` is null, as in JSON-RPC 2.0, section 5."""

    jsonrpc: Literal["2.0"]
    id: None
    error: McpErrorData


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": McpRefusal, "description": "The request is at fault."},
    "5XX": {"model": McpRefusal, "description": "The service is at fault."},
}


def mcp_envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": None,
        "error": {
            "code": _code(error),
            "message": error.named,
            "data": {**error.details, "error_type": error.error_type, "request_id": request_id},
        },
    }


def _code(error: ServiceError) -> int:
    if isinstance(error, InvalidJson):
        return PARSE_ERROR
    return INVALID_REQUEST if error.status < 500 else INTERNAL_ERROR


MCP_ERRORS = ErrorDialect(re.compile("/mcp"), mcp_envelope)
