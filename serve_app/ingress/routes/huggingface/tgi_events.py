"""TGI's events, for the documentation (``StreamResponse`` of its router)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class StreamToken(BaseModel):
    id: int
    text: str
    logprob: float
    special: bool


class StreamDetails(BaseModel):
    finish_reason: Literal["length", "eos_token", "stop_sequence"]
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamResponse(BaseModel):
    """One token; the last one carries the whole text and its details."""

    index: int
    token: StreamToken
    top_tokens: list[StreamToken] | None = None
    generated_text: str | None
    details: StreamDetails | None
