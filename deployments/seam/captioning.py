"""The request and the result of captioning an image."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """One image to describe. ``image`` is an encoded file whose header was checked.

    ``prompt`` is the beginning of the caption, for models that continue a text.
    """

    model: str
    image: bytes
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
