"""Measures the memory that models take, and returns free memory to the system.

A model's memory is what loading it added to the resident set of this process. That works because
weights are copied into memory of the process (:func:`own_weights`): of mapped files, pages that
nothing has touched do not count, and the system drops others when it likes. Of a process that runs
only one model, its unique set counts, which the end of the process frees.
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
        """The difference, but never below zero."""
        return MemoryUse(max(0, self.host - other.host), max(0, self.gpu - other.gpu))


def memory_use() -> MemoryUse:
    """The memory that this process takes now, without its children."""
    return MemoryUse(psutil.Process().memory_info().rss, cuda_memory().allocated)


def process_bytes(number: int) -> int:
    """Bytes that the end of process ``number`` would free; 0 when it is gone.

    Takes milliseconds, up to tens of them for a large process.
    """
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(number)
        with suppress(psutil.AccessDenied):
            return int(process.memory_full_info().uss)
        return int(process.memory_info().rss)
    return 0


def cuda_memory() -> CudaMemory:
    """PyTorch's counts of this process's GPU memory; zeros if it has not used a GPU."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return CudaMemory()
    return CudaMemory(
        torch.cuda.memory_allocated(),
        torch.cuda.memory_reserved(),
        torch.cuda.max_memory_allocated(),
    )


def give_back() -> None:
    """Return free memory to the system: Python's cycles, PyTorch's cache on the GPU, and the pages
    that the C library keeps. Holds Python's lock for a moment."""
    frozen = gc.get_freeze_count()
    if frozen:  # Serve freezes what exists when a replica has started, loaded models included
        gc.unfreeze()
    gc.collect()
    if frozen:
        gc.freeze()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    trim()


def trim() -> None:
    """Return free pages to the system that the C library keeps for each thread."""
    with suppress(OSError, AttributeError):  # a C library that is not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def import_libraries(*modules: str) -> None:
    """Import what models need before any is loaded, so that its memory is not attributed to the
    first model, and that model does not take longer to load than others."""
    for module in modules:
        import_module(module)


def own_weights(model: Any) -> None:
    """Copy weights out of the mapped file, tensor by tensor.

    Then no request waits for a page of the disk, and the model's memory can be measured. Quantised
    weights, which are tensors of other types, are in memory already.
    """
    import torch

    plain = (torch.nn.Parameter, torch.Tensor)
    for tensor in (*model.parameters(), *model.buffers()):
        if type(tensor) in plain and tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()
