"""Gauges of the GPUs that one replica uses: its own memory, and memory and use of each device."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from deployments.metrics import signals
from deployments.metrics.report import MetricSample
from deployments.models.memory import cuda_memory


def gpu_gauges(family: str, node: str) -> Iterator[MetricSample]:
    """Nothing if this process has not used a GPU, and no figure that its driver does not give.

    Several replicas report the same device, on the same ``node``; their reports agree.
    """
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # another thread may be importing torch
    if not hasattr(cuda, "is_initialized") or not torch.cuda.is_initialized():
        return
    memory = cuda_memory()
    yield signals.GPU_ALLOCATED.of(family, amount=memory.allocated)
    yield signals.GPU_RESERVED.of(family, amount=memory.cached)
    for index in range(torch.cuda.device_count()):
        with suppress(RuntimeError):  # every call raises it after an error of the device
            yield from _of_device(torch, node, index)


def _of_device(torch: Any, node: str, index: int) -> Iterator[MetricSample]:
    labels = (node, str(torch.cuda.get_device_properties(index).uuid))
    free, size = torch.cuda.mem_get_info(index)
    yield signals.GPU_USED.of(*labels, amount=size - free)
    yield signals.GPU_SIZE.of(*labels, amount=size)
    # Errors of NVIDIA's library for measuring derive from Exception only: it does not tell the use
    # of MIG devices and of many virtual GPUs. torch raises others where the library is not there.
    with suppress(Exception):
        use = torch.cuda.utilization(index) / 100
        yield signals.GPU_UTILIZATION.of(*labels, amount=use)
