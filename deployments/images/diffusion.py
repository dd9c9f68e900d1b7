"""Runs a diffusion pipeline: noise becomes images of prompts, step by step, for a whole batch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.batching.batch_runner import BatchedModel
from deployments.batching.decode_steps import DecodeSteps
from deployments.images.decode import Picture
from deployments.seam.problems import Problem

REFUSED = Problem("validation", "the model's safety checker refused this image", "prompt")
STOPPED = Problem("unavailable", "The image was stopped before it was complete.")
CHANNELS = 3


class AllUnwantedError(Exception):
    """Nobody waits for an image of the batch any more."""


@dataclass(frozen=True, slots=True)
class DiffusionItem:
    """One image to make. Images of the same size, steps and guidance share a batch.

    ``negative_prompt`` is ``None`` where the model has its own way to say nothing.
    """

    prompt: str
    negative_prompt: str | None
    seed: int
    width: int
    height: int
    steps: int
    guidance_scale: float

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def nbytes(self) -> int:
        """The memory of the finished image."""
        return self.pixels * CHANNELS

    def kind(self) -> Hashable:
        has_negative = self.negative_prompt is not None
        return self.width, self.height, self.steps, self.guidance_scale, has_negative


@dataclass(frozen=True, slots=True)
class DiffusionRunner:
    """A pipeline of diffusers, as the model of a lane.

    Each image has a random generator of its own, on the CPU on every device, so that its noise
    depends on its seed alone.
    """

    pipeline: Any

    def batched(self) -> BatchedModel[DiffusionItem, Picture]:
        """The model for a lane. A batch at a time: the scheduler of a pipeline has a state."""
        return BatchedModel(
            self,
            size=lambda item: item.pixels,
            kind=DiffusionItem.kind,
            nbytes=lambda item: item.nbytes,
            by_steps=True,
        )

    def __call__(
        self, batch: Sequence[DiffusionItem], steps: DecodeSteps
    ) -> Sequence[Picture | Problem]:
        """An image for each item. Ends after the step at which the last of them is not wanted.

        Decoding the latents of an image is a step as well: on CPUs it takes as long as some.
        """

        def after_step(*_: Any) -> Mapping[str, Any]:
            if not any(steps.step()):
                raise AllUnwantedError
            return {}

        def after_decoding(*_: Any) -> None:
            after_step()

        hook = self.pipeline.vae.decoder.register_forward_hook(after_decoding)
        try:
            made = self.pipeline(**_arguments(batch), callback_on_step_end=after_step)
        except AllUnwantedError:
            return [STOPPED] * len(batch)
        finally:
            hook.remove()
        unsafe = getattr(made, "nsfw_content_detected", None) or [False] * len(batch)
        return [
            REFUSED if refused else image
            for image, refused in zip(made.images, unsafe, strict=True)
        ]


def _arguments(batch: Sequence[DiffusionItem]) -> dict[str, Any]:
    """The arguments of the pipeline, which are the same for the whole batch but for three."""
    import torch

    first = batch[0]
    arguments: dict[str, Any] = {
        "prompt": [each.prompt for each in batch],
        "generator": [torch.Generator("cpu").manual_seed(each.seed) for each in batch],
        "width": first.width,
        "height": first.height,
        "num_inference_steps": first.steps,
        "guidance_scale": first.guidance_scale,
    }
    if first.negative_prompt is not None:
        arguments["negative_prompt"] = [each.negative_prompt for each in batch]
    return arguments
