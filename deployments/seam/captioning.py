"""The request and the result of captioning an image."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.tokens import TokenCounts
from deployments.seam.vision import ImageRequest


@dataclass(frozen=True, slots=True)
class CaptionRequest(ImageRequest):
    """One image to describe. ``prompt`` begins the caption, for models that continue a text."""

    prompt: str | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """``tokens`` is how many tokens the caption has."""

    text: str
    tokens: int

    @property
    def token_counts(self) -> TokenCounts:
        return TokenCounts(completion=self.tokens)
