"""What a failed forward says about its device: a poisoned one is not healthy, however alive."""

from __future__ import annotations

import sys
from typing import Any

from deployments.seam.problems import Problem

FAILED = Problem("internal", "the model failed on this item")

MAX_FAILED_BATCHES = 3
"""So many in a row of which no item was answered, not even alone, are not those items' doing."""

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
"""What device errors say that come as plain ``RuntimeError``; out of memory is none of them."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may do."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        each in str(error).lower() for each in OUT_OF_MEMORY
    )


def is_device_error(error: BaseException) -> bool:
    """Whether the device's context is lost, so that every later forward of this process fails."""
    if is_out_of_memory(error):
        return False
    torch: Any = sys.modules.get("torch")  # an engine without torch has none of its errors
    accelerator = getattr(torch, "AcceleratorError", None)
    if accelerator is not None and isinstance(error, accelerator):
        return True
    return isinstance(error, RuntimeError) and any(
        each in str(error).lower() for each in DEVICE_ERRORS
    )


class DeviceFailures:
    """The failures of one model's forwards. Noted by its threads, read by the health check."""

    def __init__(self) -> None:
        self.device_lost = False
        self._batches = 0  # of which no item was answered, one after the other
        self._last = ""

    def forward(self, error: BaseException) -> None:
        """A forward has failed."""
        self._last = type(error).__name__
        self.device_lost = self.device_lost or is_device_error(error)

    def batch(self, failed_wholly: bool) -> None:
        """A batch ended in which a forward had failed."""
        self._batches = self._batches + 1 if failed_wholly else 0

    def forget(self) -> None:
        """A forward went well."""
        self._batches = 0

    @property
    def suspected(self) -> bool:
        """Whether an item that was answered before should be tried again, to know whose fault it
        is: nobody's bad inputs should have a replica replaced."""
        return self._batches >= MAX_FAILED_BATCHES and not self.device_lost

    def check(self) -> None:
        """Raises ``RuntimeError`` when this process is not fit for forwards any more."""
        if self.device_lost:
            raise RuntimeError(f"the device is lost: {self._last}")
        if self.suspected:
            raise RuntimeError(
                f"the last {self._batches} batches failed, item by item: {self._last}"
            )
