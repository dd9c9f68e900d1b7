"""The two functions of an image model: one preprocesses an image, one answers a batch of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from deployments.batching.batch_runner import BatchedModel
from deployments.batching.decode_steps import DecodeSteps
from deployments.images.decode import Picture
from deployments.seam.problems import Problem

R = TypeVar("R")
Tensors: TypeAlias = Mapping[str, Any]


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
        """The memory of its tensors."""
        return sum(int(tensor.nbytes) for tensor in self.tensors.values())

    @property
    def pixels(self) -> int:
        """Pixels after preprocessing, of all tiles; the channels of a pixel count as one."""
        shape = self.tensors["pixel_values"].shape
        return max(1, int(self.tensors["pixel_values"].numel()) // max(1, int(shape[1])))

    def batch_kind(self) -> tuple[object, ...]:
        return self.kind, *((name, tuple(t.shape)) for name, t in sorted(self.tensors.items()))


@dataclass(frozen=True, slots=True)
class Unfinished(Generic[R]):
    """In place of an answer: ``finish`` makes it, in a thread that preprocesses images.

    It works on ``pixels`` of masks, which ``described`` puts into words, out of tensors of
    ``nbytes``.
    """

    pixels: int
    described: str
    nbytes: int
    finish: Callable[[], R | Problem]


@dataclass(frozen=True, slots=True)
class ImageTask(Generic[R]):
    """The functions of one model and task.

    ``preprocess`` makes tensors of one image, or refuses the request; it runs in several threads.
    ``answer`` runs the model on the stacked tensors of images of one kind, in the thread of the
    lane, and gives one answer an image, or an :class:`Unfinished` one. A model that writes does so
    ``by_steps``: its ``answer`` is given the :class:`DecodeSteps` of the batch as well.
    """

    preprocess: Callable[[Picture, Any], PreprocessedImage | Problem]
    answer: Callable[..., Sequence[R | Unfinished[R] | Problem]]
    by_steps: bool = False

    def batched(self) -> BatchedModel[PreprocessedImage, R | Unfinished[R]]:
        """The model for a lane."""
        return BatchedModel(
            self._run,
            size=lambda image: image.pixels,
            kind=PreprocessedImage.batch_kind,
            nbytes=lambda image: image.nbytes,
            by_steps=self.by_steps,
        )

    def _run(
        self, batch: Sequence[PreprocessedImage], *steps: DecodeSteps
    ) -> Sequence[R | Unfinished[R] | Problem]:
        import torch

        stacked = {
            name: torch.cat([image.tensors[name] for image in batch]) for name in batch[0].tensors
        }
        with torch.inference_mode():
            return self.answer(stacked, batch, *steps)


def on_device(tensors: Tensors, model: Any, device: str) -> dict[str, Any]:
    """``tensors`` on the model's device; floating-point ones in the model's dtype."""
    return {
        name: tensor.to(device, model.dtype if tensor.is_floating_point() else None)
        for name, tensor in tensors.items()
    }
