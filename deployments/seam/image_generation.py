"""The request and the result of text to image."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class ImageGenerationRequest:
    """Images of one ``prompt``, one for each of ``seeds``.

    ``width`` and ``height`` are in pixels, ``steps`` is the number of denoising steps. ``None`` is
    what is usual for the model. ``guidance_scale`` says how closely an image follows the prompt
    (classifier-free guidance, arXiv:2207.12598), away from ``negative_prompt``.
    """

    model: str
    prompt: str
    seeds: tuple[int, ...]
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None


@dataclass(frozen=True, slots=True)
class ImageGenerationResult:
    """A PNG file, or a problem, for each seed, in their order; ``width`` and ``height`` in pixels.

    ``tokens`` counts those of the prompt and the negative prompt, which are read for each image.
    """

    items: tuple[bytes | Problem, ...]
    width: int
    height: int
    tokens: int

    @property
    def token_counts(self) -> TokenCounts:
        return TokenCounts(prompt=self.tokens * len(self.items))
