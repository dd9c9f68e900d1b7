"""Captions of images across the seam."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """One image to describe. ``prompt`` is how the caption begins, where the model takes that."""

    model: str
    image: bytes
    prompt: str | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class CaptionResult:
    text: str
    tokens: int

    @property
    def token_counts(self) -> TokenCounts:
        return TokenCounts(completion=self.tokens)
