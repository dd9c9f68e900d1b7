"""Loads image models for the families; files are decoded in threads, then batched as tensors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from configs.engines import EngineName
from configs.profile import ModelSpec
from deployments.batching.batcher import Batcher
from deployments.batching.lane import Lane
from deployments.batching.model_loader import BatchedModelLoader
from deployments.batching.preparation import Preparation
from deployments.batching.reserved_bytes import ReservedBytes
from deployments.batching.tuning import SMALL_PIXELS
from deployments.images.decode import DAMAGED, decode_encoded
from deployments.images.image_task import ImageTask, PreprocessedImage, Unfinished
from deployments.images.preprocessing import preprocessed
from deployments.models.cache import ModelCache
from deployments.models.config import FamilyConfig
from deployments.models.errors import Overloaded, unavailable_as_problem
from deployments.models.memory import trim
from deployments.seam.image_files.encoded import (
    DECODE_ERRORS,
    EncodedImage,
    ignore_pillow_warnings,
)
from deployments.seam.problems import Problem
from deployments.seam.vision import ImageRequest

R = TypeVar("R")

MAX_UNMEASURED = 4
"""Images that are preprocessed together while it is not known how many bytes one takes."""


@dataclass(slots=True)
class ImageModel(Generic[R]):
    """One loaded model, and how many images are being preprocessed for it.

    ``image_bytes`` is the size of the last image's tensors, used as the estimate for the next.
    """

    task: ImageTask[R]
    lane: Lane[PreprocessedImage, R | Unfinished[R]]
    engine: EngineName = "torch"
    preprocessing: int = 0
    image_bytes: int = 0

    def has_room(self, free_bytes: int) -> bool:
        """Whether one more image may be preprocessed.

        Always, where none is being preprocessed or queued. Until the size of an image is known, up
        to ``MAX_UNMEASURED`` may be.
        """
        if not self.image_bytes:
            return self.preprocessing < MAX_UNMEASURED
        others = self.preprocessing or self.lane.depth
        return not others or (self.preprocessing + 1) * self.image_bytes <= free_bytes


class ImageModels(BatchedModelLoader[ImageModel[R]], Generic[R]):
    """Loads image models, and answers requests about images with them.

    ``open_task`` loads a model and returns its :class:`ImageTask`.
    """

    def __init__(
        self,
        config: FamilyConfig,
        batcher: Batcher,
        open_task: Callable[[FamilyConfig, ModelSpec], ImageTask[R]],
    ) -> None:
        super().__init__(config, batcher)
        self._open_task = open_task
        self._preparation = Preparation(
            config.settings.image_threads, config.settings.max_image_pixels
        )
        self._reserved = ReservedBytes(config.settings.max_waiting_bytes, "images")
        self._unfinished = ReservedBytes(config.settings.max_waiting_bytes, "images")
        ignore_pillow_warnings()

    def load(self, spec: ModelSpec) -> ImageModel[R]:
        task = self._open_task(self._config, spec)
        return ImageModel(task, self._batcher.lane(spec.name, task.batched()))

    @unavailable_as_problem
    async def answer(self, models: ModelCache[ImageModel[R]], request: ImageRequest) -> R | Problem:
        """The answer to a request about one image."""
        with self._reserved.reserve(request.model, len(request.image)):
            async with models.use(request.model) as model:
                (answer,) = await self._batcher.answers(model.lane, self._tensors(model, request))
                if not isinstance(answer, Unfinished):
                    return answer
                return await self._finished(answer, request.model)

    async def _finished(self, answer: Unfinished[R], model: str) -> R | Problem:
        """Raises :class:`Overloaded` when too many bytes of unfinished answers wait."""
        limit = self._config.settings.max_mask_pixels
        if answer.pixels > limit:
            message = f"the answer would have {answer.described}; all masks together may have "
            message += f"{limit} pixels, of which a smaller image has fewer"
            return Problem("validation", message, "image")
        with self._unfinished.reserve(model, answer.nbytes):
            return await self._preparation.run(answer.pixels, _finish, answer)

    async def _tensors(
        self, model: ImageModel[R], request: ImageRequest
    ) -> AsyncGenerator[Sequence[PreprocessedImage | Problem], None]:
        """The preprocessed image, once the lane has room for its tensors.

        Until then the image waits as the encoded file, about a tenth of the tensors' size. A large
        image waits separately, so that it does not hold up small ones.
        """
        await model.lane.room.wait(model.has_room)
        model.preprocessing += 1
        try:
            with self._batcher.meter.preprocessing(request.model):
                image = await self._preparation.run(0, _preprocess_if_small, model.task, request)
            if isinstance(image, PreprocessedImage):
                model.image_bytes = image.nbytes
            if not isinstance(image, EncodedImage):
                yield [image]  # the generator resumes after the batcher has queued the image
        finally:
            model.preprocessing -= 1
            model.lane.room.recheck()
        if isinstance(image, EncodedImage):
            large = await self._preprocess_large(image, model.task, request)
            size = 0 if isinstance(large, Problem) else large.nbytes
            await model.lane.room.wait(lambda free: not model.lane.depth or size <= free)
            yield [large]

    async def _preprocess_large(
        self, image: EncodedImage, task: ImageTask[R], request: ImageRequest
    ) -> PreprocessedImage | Problem:
        """Raises :class:`Overloaded` when too many pixels of large images wait."""
        waiting, limit = self._preparation.waiting_pixels, self._config.settings.max_waiting_pixels
        if waiting and waiting + image.pixels > limit:
            raise Overloaded(request.model, "large images")
        run, pixels = self._preparation.run, image.pixels
        with self._batcher.meter.preprocessing(request.model):
            return await run(pixels, _preprocess_and_trim, image, task, request)


def _preprocess_if_small(
    task: ImageTask[Any], request: ImageRequest
) -> EncodedImage | PreprocessedImage | Problem:
    """Preprocess a small image; of a large one read only the headers."""
    try:
        image = EncodedImage(request.image)
    except DECODE_ERRORS:
        return DAMAGED
    return image if image.pixels > SMALL_PIXELS else _preprocess(image, task, request)


def _preprocess_and_trim(
    image: EncodedImage, task: ImageTask[Any], request: ImageRequest
) -> PreprocessedImage | Problem:
    """Preprocess, then return free memory, which the thread would keep, to the system."""
    try:
        return _preprocess(image, task, request)
    finally:
        trim()


def _finish(answer: Unfinished[R]) -> R | Problem:
    try:
        return answer.finish()
    finally:
        if answer.pixels > SMALL_PIXELS:
            trim()


def _preprocess(
    image: EncodedImage, task: ImageTask[Any], request: ImageRequest
) -> PreprocessedImage | Problem:
    try:
        decoded = decode_encoded(image)
    except DECODE_ERRORS:
        return DAMAGED
    return preprocessed(task.preprocess, decoded, request)
