"""Failed forwards: which of them mean that the device or a model is not fit for more of them."""

from __future__ import annotations

import sys
from typing import Any

from deployments.seam.problems import Problem

FAILED = Problem("internal", "the model failed on this item")

MAX_FAILED_BATCHES = 3
"""Batches in a row without one answer, not even to an item alone, after which the model itself is
suspected and not the items."""

DEVICE_ERRORS = (
    "cuda error",
    "hip error",
    "device-side assert",
    "cublas_status",
    "cudnn_status",
    "nccl error",
    "driver shutting down",
    "mps backend error",
)
"""Texts of device errors that come as plain ``RuntimeError``; out of memory is not one of them."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may succeed."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        each in str(error).lower() for each in OUT_OF_MEMORY
    )


def is_device_error(error: BaseException) -> bool:
    """Whether the device's context is lost, so that every later forward of this process fails."""
    if is_out_of_memory(error):
        return False
    torch: Any = sys.modules.get("torch")  # without torch there are no errors of torch
    accelerator = getattr(torch, "AcceleratorError", None)
    if accelerator is not None and isinstance(error, accelerator):
        return True
    return isinstance(error, RuntimeError) and any(
        each in str(error).lower() for each in DEVICE_ERRORS
    )


class DeviceFailures:
    """Whether the device of this replica is lost. One a replica, since it outlives the models.

    Written by the threads of the models, read by the health check.
    """

    def __init__(self) -> None:
        self._error: str | None = None

    @property
    def is_lost(self) -> bool:
        return self._error is not None

    def record(self, error: BaseException) -> None:
        """A forward has failed with ``error``."""
        if is_device_error(error):
            self._error = type(error).__name__

    def check(self) -> None:
        """Raises ``RuntimeError`` when the device is lost."""
        if self._error is not None:
            raise RuntimeError(f"the device is lost: {self._error}")


class BatchFailures:
    """Batches of one model that failed item by item, one after the other."""

    def __init__(self) -> None:
        self._batches = 0
        self._last_error = ""

    def record_error(self, error: BaseException) -> None:
        """A forward has failed with ``error``."""
        self._last_error = type(error).__name__

    def record_batch(self, *, all_failed: bool) -> None:
        """A batch has ended; ``all_failed`` if none of its items was answered."""
        self._batches = self._batches + 1 if all_failed else 0

    @property
    def suspect_model(self) -> bool:
        """Whether so many batches failed that the model may be at fault and not the items.

        The model is then tried on an item that it has answered before, so that a client with bad
        inputs cannot have the replica replaced.
        """
        return self._batches >= MAX_FAILED_BATCHES

    def check(self) -> None:
        """Raises ``RuntimeError`` when the model is suspected."""
        if self.suspect_model:
            raise RuntimeError(
                f"the last {self._batches} batches failed, item by item: {self._last_error}"
            )
