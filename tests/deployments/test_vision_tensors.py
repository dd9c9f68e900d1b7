"""What the vision family does with tensors: where they are widened, and how pixels are counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from deployments.images.image_task import PreprocessedImage
from deployments.seam.vision import DetectionRequest, DetectionResult
from deployments.vision import as_numbers, detector

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]


async def test_numbers_leave_the_device_before_they_are_widened() -> None:
    """Apple's GPUs have no float64."""

    class OnGpu:
        """As much of a tensor there as matters."""

        def double(self) -> Any:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

        def cpu(self) -> torch.Tensor:
            return torch.tensor([0.5, 1.5])

    numbers = as_numbers(OnGpu())
    assert (numbers.tolist(), numbers.dtype) == ([0.5, 1.5], np.float64)


async def test_boxes_leave_the_device_before_they_are_widened() -> None:
    class OnGpu:
        def double(self) -> Any:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

        def cpu(self) -> torch.Tensor:
            return torch.tensor([[1.0, 2.0, 3.0, 4.0]])

    class Processor:
        def post_process_object_detection(self, *_: Any, **__: Any) -> Any:
            return [{"labels": torch.tensor([0]), "scores": torch.tensor([0.9]), "boxes": OnGpu()}]

    model = SimpleNamespace(config=SimpleNamespace(id2label={0: "cat"}), dtype=torch.float32)
    made = detector(_callable(model), Processor(), "cpu")
    seen = PreprocessedImage(
        {"pixel_values": torch.zeros(1, 3, 4, 4)}, (10, 10), DetectionRequest("tiny", b"")
    )
    (found,) = made.answer(seen.tensors, [seen])
    assert isinstance(found, DetectionResult)
    assert [each.label for each in found.items] == ["cat"]


def _callable(model: SimpleNamespace) -> Any:
    class Called:
        config, dtype = model.config, model.dtype

        def __call__(self, **_: Any) -> None:
            return None

    return Called()


async def test_pixels_are_counted_after_preprocessing() -> None:
    seen = PreprocessedImage({"pixel_values": torch.zeros(1, 3, 20, 10)}, (1, 1), None)
    assert seen.pixels == 200
