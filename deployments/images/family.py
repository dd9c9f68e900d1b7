"""What every family of images shares: files to pixels, pixels to the lane, answers back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from configs.engines import EngineName
from configs.profile import ModelSpec, UserConfig
from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.family import LaneFamily
from deployments.batching.lane import Lane
from deployments.batching.preparation import Preparation
from deployments.batching.scheduler import BatchLimits
from deployments.batching.tuning import SMALL_PIXELS
from deployments.images.decode import DAMAGED, Picture, decode_encoded
from deployments.images.preprocessing import preprocessed
from deployments.models.config import FamilyConfig
from deployments.models.device import claim_device
from deployments.models.errors import ModelUnavailable, Overloaded
from deployments.models.memory import own_weights, trim
from deployments.models.pretrained import load_options
from deployments.seam.image_files.encoded import (
    DECODE_ERRORS,
    EncodedImage,
    ignore_pillow_warnings,
)
from deployments.seam.problems import Problem

R = TypeVar("R")
Tensors: TypeAlias = Mapping[str, Any]


AT_FIRST = 4
"""Images that are prepared together while it is not known what one takes."""


class AboutImage(Protocol):
    """What every request about an image has."""

    @property
    def model(self) -> str: ...
    @property
    def image(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PreprocessedImage:
    """One image as its model reads it: ``tensors`` of shape (1, ...), by name.

    ``size`` is (width, height) of the picture before preprocessing, ``request`` the request. Only
    images of the same ``kind`` share a forward, and then only where their tensors' shapes agree:
    so nothing is padded, and no neighbour changes an answer.
    """

    tensors: Tensors
    size: tuple[int, int]
    request: Any
    kind: object = None

    @property
    def nbytes(self) -> int:
        """What its tensors take while it waits."""
        return sum(int(tensor.nbytes) for tensor in self.tensors.values())

    @property
    def pixels(self) -> int:
        """How many there are after preprocessing, all channels and tiles counted as one."""
        shape = self.tensors["pixel_values"].shape
        return max(1, int(self.tensors["pixel_values"].numel()) // max(1, int(shape[1])))

    def like(self) -> tuple[object, ...]:
        return self.kind, *((name, tuple(t.shape)) for name, t in sorted(self.tensors.items()))


@dataclass(frozen=True, slots=True)
class ImageTask(Generic[R]):
    """How a model is used: ``preprocess`` prepares one image, ``answer`` runs images of like shape.

    ``preprocess`` runs in one of the family's threads and may refuse a request, several at a time;
    ``answer`` runs in the lane's, on stacked tensors, and gives one answer an image. Where the
    model writes, it does so ``by_steps``, and ``answer`` is given the :class:`DecodeSteps` of its
    batch as well.
    """

    preprocess: Callable[[Picture, Any], PreprocessedImage | Problem]
    answer: Callable[..., Sequence[R | Problem]]
    by_steps: bool = False


@dataclass(slots=True)
class ImageModel(Generic[R]):
    """One loaded model and the lane to it."""

    reader: ImageTask[R]
    lane: Lane[PreprocessedImage, R]
    engine: EngineName = "torch"
    preparing: int = 0
    """Images that are being prepared for it."""
    seen_bytes: int = 0
    """What the last one took as tensors: the next ones will take about as much."""

    def has_room(self, free_bytes: int) -> bool:
        """Whether one more image may be prepared; one may where no other is."""
        if not self.seen_bytes:
            return self.preparing < AT_FIRST
        others = self.preparing or self.lane.depth
        return not others or (self.preparing + 1) * self.seen_bytes <= free_bytes

    def note(self, seen: PreprocessedImage | Problem) -> None:
        """Remember what an image takes."""
        if not isinstance(seen, Problem):
            self.seen_bytes = seen.nbytes

    def close(self) -> None:
        self.lane.close()


class ImageFamily(LaneFamily[ImageModel[R]], Generic[R]):
    """A deployment of models that look at images. A family says how a model is used."""

    volume_limit: ClassVar[str] = "max_batch_pixels"

    def __init__(self, config: FamilyConfig) -> None:
        settings = config.settings
        ignore_pillow_warnings()
        self._preparation = Preparation(settings.image_threads, settings.max_image_pixels)
        self._encoded_bytes = 0
        super().__init__(config)

    @abstractmethod
    def load(self, folder: Path, spec: ModelSpec) -> ImageTask[R]:
        """Open the model in ``folder``, by what the profile says that it does."""

    async def _answered(self, request: AboutImage) -> R | Problem:
        """The one answer to a request about one image."""
        try:
            with self._held(request):
                async with self._residency.use(request.model) as model:
                    seen = self._prepared(model, request)
                    answers: list[R | Problem] = await self._through(model.lane, seen)
                    return answers[0]
        except ModelUnavailable as error:
            return error.problem

    @contextmanager
    def _held(self, request: AboutImage) -> Iterator[None]:
        """Count the image as one that is held here. Raises :class:`Overloaded`."""
        size, limit = len(request.image), self._config.settings.max_waiting_bytes
        if self._encoded_bytes and self._encoded_bytes + size > limit:
            raise Overloaded(request.model, "images")
        self._encoded_bytes += size
        try:
            yield
        finally:
            self._encoded_bytes -= size

    async def _prepared(
        self, model: ImageModel[R], request: AboutImage
    ) -> AsyncGenerator[Sequence[PreprocessedImage | Problem], None]:
        """One image as its model reads it, once the line to that has room for its tensors.

        Until then the image waits as the file that it came in, which is a tenth of them. Large ones
        wait by themselves, and keep nobody else out of the line.
        """
        await model.lane.room.wait(model.has_room)
        model.preparing += 1
        try:
            begun = await self._preparation.run(0, _begun, model.reader, request)
            if not isinstance(begun, EncodedImage):
                model.note(begun)
                yield [begun]  # and goes on when it is in line
        finally:
            model.preparing -= 1
            model.lane.room.recheck()
        if isinstance(begun, EncodedImage):
            seen = await self._when_due(begun, model.reader, request)
            size = 0 if isinstance(seen, Problem) else seen.nbytes
            await model.lane.room.wait(lambda free: not model.lane.depth or size <= free)
            yield [seen]

    async def _when_due(
        self, large: EncodedImage, reader: ImageTask[R], request: AboutImage
    ) -> PreprocessedImage | Problem:
        """A large image, when it is its turn. Raises :class:`Overloaded`."""
        waiting, limit = self._preparation.waiting_pixels, self._config.settings.max_waiting_pixels
        if waiting and waiting + large.pixels > limit:
            raise Overloaded(request.model, "large images")
        return await self._preparation.run(large.pixels, _large, large, reader, request)

    def _opened(self, auto_class: str, folder: Path, spec: ModelSpec) -> tuple[Any, str]:
        """A model ready to answer, and its device, by a class of transformers."""
        import transformers

        device = claim_device(self._config)
        options = load_options(self._config, spec, device)
        model = getattr(transformers, auto_class).from_pretrained(folder, **options)
        model = model.to(device).eval()
        own_weights(model)
        return model, device

    def _load(self, spec: ModelSpec) -> ImageModel[R]:
        reader = self.load(self._config.folder(spec), spec)
        lane: Lane[PreprocessedImage, R] = self._lane(
            spec.name, _Run(reader), _pixels, PreprocessedImage.like, by_steps=reader.by_steps
        )
        return ImageModel(reader, lane)

    @staticmethod
    def _limits_of(live: UserConfig) -> BatchLimits:
        """What bounds a forward, counted in pixels: 80 images of 224 x 224 by default, or 4 of a
        detector's size."""
        return replace(LaneFamily._limits_of(live), max_volume=live.max_batch_pixels)


def _pixels(seen: PreprocessedImage) -> int:
    return seen.pixels


def _begun(
    reader: ImageTask[Any], request: AboutImage
) -> EncodedImage | PreprocessedImage | Problem:
    """A small image at once; of a large one only the headers."""
    try:
        encoded = EncodedImage(request.image)
    except DECODE_ERRORS:
        return DAMAGED
    return encoded if encoded.pixels > SMALL_PIXELS else _seen(encoded, reader, request)


def _large(
    encoded: EncodedImage, reader: ImageTask[Any], request: AboutImage
) -> PreprocessedImage | Problem:
    """A large image, whose memory goes back at once: each thread would keep it for its next one."""
    try:
        return _seen(encoded, reader, request)
    finally:
        trim()


def _seen(
    encoded: EncodedImage, reader: ImageTask[Any], request: AboutImage
) -> PreprocessedImage | Problem:
    try:
        image = decode_encoded(encoded)
    except DECODE_ERRORS:
        return DAMAGED
    return preprocessed(reader.preprocess, image, request)


class _Run(Generic[R]):
    """The lane's run, on images of like shape."""

    def __init__(self, reader: ImageTask[R]) -> None:
        self._reader = reader

    def __call__(
        self, batch: Sequence[PreprocessedImage], *steps: DecodeSteps
    ) -> Sequence[R | Problem]:
        import torch

        stacked = {
            name: torch.cat([seen.tensors[name] for seen in batch]) for name in batch[0].tensors
        }
        with torch.inference_mode():
            return self._reader.answer(stacked, batch, *steps)


def opened_processor(auto_class: str, folder: Path, spec: ModelSpec) -> Any:
    """A processor of transformers, on Pillow: torchvision is not needed for any."""
    import transformers

    return getattr(transformers, auto_class).from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=spec.trust_remote_code,
        backend="pil",
    )


def on_device(tensors: Tensors, model: Any, device: str) -> dict[str, Any]:
    """``tensors`` where the model is; numbers with a fraction in the model's own dtype."""
    return {
        name: tensor.to(device, model.dtype if tensor.is_floating_point() else None)
        for name, tensor in tensors.items()
    }
