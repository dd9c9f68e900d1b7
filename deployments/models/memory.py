"""How much memory models take, measured, and giving it back to the system.

This process by its resident set: what a load adds to it is what the model takes, because weights
are read into memory of the process's own (:func:`own_weights`), and not merely mapped, where
untouched pages count for nothing and touched ones go whenever the system likes. A process of the
model's own by its unique set, which is what its end gives back.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import psutil

from deployments.seam.replicas import CudaMemory

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes in the host's memory and on the GPU."""

    host: int
    gpu: int

    def __sub__(self, other: MemoryUse) -> MemoryUse:
        """What came on top of ``other``; never below zero."""
        return MemoryUse(max(0, self.host - other.host), max(0, self.gpu - other.gpu))


def memory_use() -> MemoryUse:
    """What this process takes now, by itself."""
    return MemoryUse(psutil.Process().memory_info().rss, cuda_memory().allocated)


def process_bytes(number: int) -> int:
    """What the end of process ``number`` would give back; 0 when it is gone."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(number)
        with suppress(psutil.AccessDenied):
            return int(process.memory_full_info().uss)
        return int(process.memory_info().rss)
    return 0


def cuda_memory() -> CudaMemory:
    """PyTorch's own count on this process's GPU; zeros where there is none, or nothing on it."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return CudaMemory()
    return CudaMemory(
        torch.cuda.memory_allocated(),
        torch.cuda.memory_reserved(),
        torch.cuda.max_memory_allocated(),
    )


def give_back() -> None:
    """Return what nothing refers to any more to the system. Holds the lock of Python for a moment.

    Python's cycles, then PyTorch's cache on the GPU, then the pages that the C library keeps.
    """
    frozen = gc.get_freeze_count()
    if frozen:  # Serve freezes what a replica's constructor made, and with it the pinned models
        gc.unfreeze()
    gc.collect()
    if frozen:
        gc.freeze()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    trim()


def trim() -> None:
    """Return the pages that the C library keeps: of each thread as much as it ever had."""
    with suppress(OSError, AttributeError):  # a C library that is not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def import_libraries(*modules: str) -> None:
    """Import what models will need, before any is loaded: what a load takes is then the model's.

    The first model that comes on demand also loads in the time that its weights take.
    """
    for module in modules:
        import_module(module)


def own_weights(model: Any) -> None:
    """Copy weights out of the mapped file, tensor by tensor.

    A request then never waits for a page of the disk, and what the model takes can be measured.
    Quantised weights, which are tensors of other types, were made in memory anyway.
    """
    import torch

    plain = (torch.nn.Parameter, torch.Tensor)
    for tensor in (*model.parameters(), *model.buffers()):
        if type(tensor) in plain and tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()
