"""The data of native streams' events, for the documentation."""

from __future__ import annotations

from pydantic import BaseModel, Field

from deployments.seam.generation import FinishReason
from deployments.seam.replicas import Stage


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
