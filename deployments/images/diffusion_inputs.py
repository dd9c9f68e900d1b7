"""Makes the items of a lane of a request for images, or says what the pipeline cannot do."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import lcm
from typing import Any, NamedTuple

from configs.profile import ModelSpec
from configs.settings import Settings
from deployments.images.diffusion import DiffusionItem
from deployments.seam.image_generation import ImageGenerationRequest
from deployments.seam.problems import Problem, over_window

PIPELINE_MULTIPLE = 8
"""All pipelines of Stable Diffusion want sides that are multiples of this, whatever their VAE."""

SCHEDULER_ERRORS = (ValueError, IndexError, ZeroDivisionError)
"""What schedulers raise for a number of steps that they cannot make."""


class TextReader(NamedTuple):
    """A tokenizer of the pipeline, and how many tokens its text encoder reads."""

    tokenizer: Any
    window: int

    def count(self, text: str) -> int:
        return len(self.tokenizer(text, truncation=False, verbose=False).input_ids)


class PlannedImages(NamedTuple):
    """The items of a request, and how many tokens each of them has."""

    items: tuple[DiffusionItem, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class DiffusionInputs:
    """What a pipeline takes. Used by one thread at a time.

    ``multiple`` divides the sides of every image, in pixels; ``side`` is the usual one. An image
    has up to ``max_pixels``, and takes up to ``max_steps``.
    """

    readers: tuple[TextReader, ...]
    scheduler: Any
    side: int
    multiple: int
    steps: int
    guidance_scale: float
    takes_negative: bool
    guides_by_two_forwards: bool
    max_pixels: int
    max_steps: int

    @classmethod
    def of(cls, pipeline: Any, spec: ModelSpec, settings: Settings) -> DiffusionInputs:
        """``steps`` and ``guidance_scale`` of the profile, else those of the pipeline's class."""
        usual = inspect.signature(pipeline.__call__).parameters
        factor = int(pipeline.vae_scale_factor)
        guidance_scale = spec.guidance_scale
        if guidance_scale is None:
            guidance_scale = float(usual["guidance_scale"].default)
        return cls(
            readers=tuple(_readers(pipeline)),
            scheduler=deepcopy(pipeline.scheduler),
            side=int(pipeline.unet.config.sample_size) * factor,
            multiple=lcm(PIPELINE_MULTIPLE, factor),
            steps=spec.steps or int(usual["num_inference_steps"].default),
            guidance_scale=guidance_scale,
            takes_negative="negative_prompt" in usual,
            guides_by_two_forwards=pipeline.unet.config.time_cond_proj_dim is None,
            max_pixels=settings.max_generated_pixels,
            max_steps=settings.max_denoising_steps,
        )

    def planned(self, request: ImageGenerationRequest) -> PlannedImages | Problem:
        """An item for each seed, or the first problem."""
        guidance_scale = request.guidance_scale
        if guidance_scale is None:
            guidance_scale = self.guidance_scale
        steps = request.steps or self.steps
        width, height = request.width or self.side, request.height or self.side
        negative = request.negative_prompt or None  # an empty one asks for nothing
        problem = (
            self._area_problem(request, width, height)
            or self._size_problem(width, height)
            or self._steps_problem(steps)
            or self._negative_problem(negative, guidance_scale)
        )
        if problem is not None:
            return problem
        counts = [self._count(request.prompt, "prompt")]
        if negative is not None:
            counts.append(self._count(negative, "negative_prompt"))
        tokens = 0
        for each in counts:
            if isinstance(each, Problem):
                return each
            tokens += each
        items = (
            DiffusionItem(request.prompt, negative, seed, width, height, steps, guidance_scale)
            for seed in request.seeds
        )
        return PlannedImages(tuple(items), tokens)

    def _area_problem(
        self, request: ImageGenerationRequest, width: int, height: int
    ) -> Problem | None:
        """The ingress does not know the sides that a request leaves to the model."""
        if width * height <= self.max_pixels:
            return None
        usual = [side for side in ("width", "height") if getattr(request, side) is None]
        own = f", with the model's own {' and '.join(usual)}" if usual else ""
        message = f"the image would have {width} x {height} pixels{own}; the limit is "
        field = "height" if usual == ["width"] else "width"
        return Problem("validation", f"{message}{self.max_pixels} in all", field)

    def _size_problem(self, width: int, height: int) -> Problem | None:
        for field, side in (("width", width), ("height", height)):
            if side % self.multiple:
                message = f"the model makes images whose sides are multiples of {self.multiple} "
                return Problem("validation", f"{message}pixels, not {width} x {height}", field)
        return None

    def _steps_problem(self, steps: int) -> Problem | None:
        if steps > self.max_steps:
            message = f"the image would take {steps} steps; the limit is {self.max_steps}"
            return Problem("validation", message, "steps")
        try:
            self.scheduler.set_timesteps(steps)
        except SCHEDULER_ERRORS:
            message = f"the scheduler of the model cannot make {steps} steps"
            return Problem("validation", message, "steps")
        return None

    def _negative_problem(self, negative: str | None, guidance_scale: float) -> Problem | None:
        """A pipeline without a forward for what is not wanted would ignore the negative prompt."""
        if negative is None:
            return None
        if not (self.takes_negative and self.guides_by_two_forwards):
            return Problem("validation", "the model reads no negative prompt", "negative_prompt")
        if guidance_scale <= 1:
            message = (
                f"a negative prompt has no effect with a guidance scale of {guidance_scale:g}; "
                "above 1 it has"
            )
            return Problem("validation", message, "negative_prompt")
        return None

    def _count(self, text: str, field: str) -> int | Problem:
        """The most tokens that a text has for any of the tokenizers."""
        counts = [(reader.count(text), reader.window) for reader in self.readers]
        for count, window in counts:
            if count > window:
                message = f"{over_window(window)}; the text has {count}"
                return Problem("context_length", message, field)
        return max(count for count, _ in counts)


def _readers(pipeline: Any) -> Iterator[TextReader]:
    """Copies of the tokenizers: a tokenizer has a state, which the pipeline sets in its thread."""
    for suffix in ("", "_2"):
        tokenizer = getattr(pipeline, f"tokenizer{suffix}", None)
        encoder = getattr(pipeline, f"text_encoder{suffix}", None)
        if tokenizer is not None and encoder is not None:
            positions = int(encoder.config.max_position_embeddings)
            window = min(positions, int(tokenizer.model_max_length))
            yield TextReader(deepcopy(tokenizer), window)
