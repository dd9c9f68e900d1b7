"""Gauges of the GPUs that one replica uses: its own memory, and memory and use of each device."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from deployments.metrics import signals
from deployments.metrics.report import MetricSample
from deployments.models.memory import cuda_memory

NO_UTILIZATION = (ImportError, RuntimeError)
"""What torch raises where NVIDIA's library for measuring is not there, or knows no such device."""


def gpu_gauges(family: str, node: str) -> Iterator[MetricSample]:
    """Nothing if this process has not used a GPU.

    Several replicas report the same device, on the same ``node``; their reports agree.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    memory = cuda_memory()
    yield signals.GPU_ALLOCATED.of(family, amount=memory.allocated)
    yield signals.GPU_RESERVED.of(family, amount=memory.cached)
    for index in range(torch.cuda.device_count()):
        labels = (node, str(torch.cuda.get_device_properties(index).uuid))
        free, size = torch.cuda.mem_get_info(index)
        yield signals.GPU_USED.of(*labels, amount=size - free)
        yield signals.GPU_SIZE.of(*labels, amount=size)
        with suppress(*NO_UTILIZATION):
            yield signals.GPU_UTILIZATION.of(*labels, amount=torch.cuda.utilization(index) / 100)
