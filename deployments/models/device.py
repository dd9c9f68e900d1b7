"""The device of a replica, its share of that device's memory, and the dtype to compute in."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from configs.gpu_memory import CUDA_CONTEXT_GB, GIB
from configs.processor import native_bfloat16
from configs.profile import ModelSpec
from deployments.models.config import FamilyConfig

if TYPE_CHECKING:
    import torch


def pick_device(config: FamilyConfig) -> str:
    """``cuda``, ``mps`` or ``cpu``: the device of the settings, if this replica can see it.

    A family without a GPU fraction has no GPU, so ``auto`` is the CPU there: Ray counts that GPU
    as free, but by default it does not hide it (``RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO``). Raises
    ``RuntimeError`` when a device that was requested by name is not there.
    """
    wanted = config.settings.device if config.settings.use_gpu else "cpu"
    nothing_else = config.gpu_fraction == 0 and sys.platform != "darwin"
    if wanted == "cpu" or (wanted == "auto" and nothing_else):
        return "cpu"  # without torch, whose import takes seconds
    import torch

    there = {
        "cuda": config.gpu_fraction > 0 and torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[wanted]:
        raise RuntimeError(f"device {wanted} was requested, but this replica has none")
    return wanted


def claim_device(config: FamilyConfig) -> str:
    """Pick the device, set threads, and keep to this replica's share of the GPU's memory.

    Ray's fractions share out the device, not its memory, so each replica bounds its own. Raises
    ``RuntimeError`` when the share has no room for a model.
    """
    import torch

    device = pick_device(config)
    torch.set_num_threads(config.threads)
    # Transformers' loading threads keep hundreds of megabytes of what they loaded for good.
    os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")
    if device == "cuda" and 0 < config.gpu_fraction < 1:
        total = int(torch.cuda.get_device_properties(0).total_memory)
        torch.cuda.set_per_process_memory_fraction(allocator_fraction(config.gpu_fraction, total))
    return device


def allocator_fraction(gpu_fraction: float, total_bytes: int) -> float:
    """The fraction of a GPU's ``total_bytes`` that torch may allocate in this replica.

    Torch's bound leaves out the CUDA context, which belongs to the replica's share as well. The
    context's size is assumed: CUDA tells only the memory of all processes together, and the
    context grows while kernels are loaded. Raises ``RuntimeError`` when the share holds no more
    than the context.
    """
    fraction = gpu_fraction - CUDA_CONTEXT_GB * GIB / total_bytes
    if fraction <= 0:
        share = f"{gpu_fraction:g} of a GPU of {total_bytes / GIB:.1f} GiB"
        raise RuntimeError(f"{share} has no room beside a CUDA context of {CUDA_CONTEXT_GB} GiB")
    return fraction


def pick_dtype(model: ModelSpec, device: str) -> torch.dtype:
    """The dtype to compute in: the profile's, else the fastest on the device.

    On CPUs without native bfloat16 arithmetic the half-precision types are slower than float32.
    """
    import torch

    if model.dtype != "auto":
        dtype: torch.dtype = getattr(torch, model.dtype)
        return dtype
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if device == "mps":
        return torch.float16
    return torch.bfloat16 if native_bfloat16() else torch.float32


def computes_in_half(config: FamilyConfig, model: ModelSpec) -> bool:
    """Whether torch takes two bytes a weight, as :func:`pick_dtype` decides; without torch."""
    if model.dtype != "auto":
        return model.dtype != "float32"
    return pick_device(config) != "cpu" or native_bfloat16()
