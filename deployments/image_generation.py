"""Text to image: diffusion pipelines of diffusers, prompts in, PNG files out.

Images of one size, number of steps and guidance share a batch, whatever their prompts. A batch ends
at its next step when nobody waits for its images any more.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from configs.engines import EngineName
from configs.profile import ModelSpec
from deployments.batching.batcher import Batcher
from deployments.batching.lane import Lane
from deployments.batching.model_loader import BatchedModelLoader
from deployments.images.decode import Picture
from deployments.images.diffusion import DiffusionItem, DiffusionRunner
from deployments.images.diffusion_inputs import DiffusionInputs
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.models.family import FamilyDeployment
from deployments.seam.image_generation import ImageGenerationRequest, ImageGenerationResult
from deployments.seam.problems import Problem

LIBRARIES = (
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.models.unets.unet_2d_condition",
)


@dataclass(frozen=True, slots=True)
class DiffusionModel:
    """One loaded pipeline: what it takes, and the lane that runs it."""

    inputs: DiffusionInputs
    lane: Lane[DiffusionItem, Picture]
    engine: EngineName = "torch"


class ImageGeneration(FamilyDeployment[DiffusionModel]):
    """The deployment of text to image."""

    tasks: ClassVar[dict[str, str]] = {"image_generate": "makes images of a prompt"}
    needs: ClassVar[Mapping[str, str]] = {"diffusers": "prsm-serve[images]"}

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        self._batcher = Batcher(config, meter, "max_batch_pixels")
        super().__init__(config, DiffusionLoader(config, self._batcher), self._batcher, meter)

    @unavailable_as_problem
    async def generate_images(
        self, request: ImageGenerationRequest
    ) -> ImageGenerationResult | Problem:
        """An image for each seed; one that fails has a problem in its place."""
        async with self._models.use(request.model) as model:
            planned = await self._batcher.in_thread(model.inputs.planned, request)
            if isinstance(planned, Problem):
                return planned
            images = await self._batcher.answers(model.lane, _together(planned.items))
        files = [
            each if isinstance(each, Problem) else await asyncio.to_thread(_png, each)
            for each in images
        ]
        first = planned.items[0]
        return ImageGenerationResult(tuple(files), first.width, first.height, planned.tokens)


async def _together(
    items: Sequence[DiffusionItem],
) -> AsyncGenerator[Sequence[DiffusionItem], None]:
    yield items


def _png(image: Picture) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class DiffusionLoader(BatchedModelLoader[DiffusionModel]):
    """Loads pipelines of diffusers."""

    def __init__(self, config: FamilyConfig, batcher: Batcher) -> None:
        super().__init__(config, batcher, LIBRARIES)

    def load(self, spec: ModelSpec) -> DiffusionModel:
        """Raises ``UnsupportedError`` for a pipeline that this family does not run."""
        from deployments.images.diffusion_loading import load_pipeline

        pipeline = load_pipeline(self._config, spec)
        lane = self._batcher.lane(spec.name, DiffusionRunner(pipeline).batched())
        return DiffusionModel(DiffusionInputs.of(pipeline, spec, self._config.settings), lane)
