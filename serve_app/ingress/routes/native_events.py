"""The events of native streams: their bytes, and their shapes for the documentation."""

from __future__ import annotations

from pydantic import BaseModel, Field

from deployments.seam.generation import FinishReason, Token
from deployments.seam.replicas import Stage
from serve_app.ingress.errors import ServiceError
from serve_app.ingress.streams import event, one_line

TOKEN = (
    b"event: token\n"
    b'data: {"sequence_index":%d,"text_delta":%b,"token_id":%d,"finish_reason":%b}\n'
    b"\n"
)


class TokenEvent(BaseModel):
    """One token. ``text_delta`` is empty where it completes no character."""

    sequence_index: int
    text_delta: str
    token_id: int
    finish_reason: FinishReason | None


class ErrorEvent(BaseModel):
    """The last event of a stream that broke. ``code`` is an ``error_type``."""

    error: str
    code: str
    request_id: str


class ProgressEvent(BaseModel):
    """A step of one replica."""

    replica: str
    stage: Stage
    bytes_: int | None = Field(None, alias="bytes", description="what the model takes, once known")


def token_event(token: Token) -> bytes:
    """``event("token", ...)`` of one token, faster: only its four values change."""
    return TOKEN % (
        token.position,
        one_line(token.text),
        token.token_id,
        one_line(token.finish_reason),
    )


def error_event(error: ServiceError, request_id: str) -> bytes:
    """The last event of a native stream that broke."""
    return event(
        "error", {"error": error.message, "code": error.error_type, "request_id": request_id}
    )
