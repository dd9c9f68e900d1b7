"""Whether the models of a family fit the GPU that each of its replicas computes on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from configs.profile import Family, ModelSpec, Profile
from configs.settings import Settings
from configs.weights import WeightsError, find_cached

GIB = 1024**3

CUDA_CONTEXT_GB = 0.5
"""What one process takes on a GPU before its first tensor (kernels and the context itself)."""

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "auto": 2.0}
"""Of one number on a GPU; ``auto`` is half precision there."""

QUANTISED = {"int8": 1.0, "nf4": 0.5}

MAX_HEADER = 100_000_000
"""Bytes of a safetensors file's header; the library itself reads no longer one."""


def too_large(key: str, family: Family, profile: Profile, settings: Settings) -> Iterator[str]:
    """Whatever shares a GPU fits its memory, because each replica fits its own fraction of it.

    A model lives on one GPU: a replica that has several fits no more than one that has one.
    """
    gpus = family.options.ray_actor_options.num_gpus
    if gpus == 0:
        return
    if profile.gpu_memory_gb is None:
        yield "gpu_memory_gb: expected the memory of one GPU, since families ask for GPUs"
        return
    share = min(gpus, 1.0) * profile.gpu_memory_gb
    of = f"{min(gpus, 1.0):g} of {profile.gpu_memory_gb:g} GB is {share:.1f} GB"
    for model in family.models:
        yield from _sized(f"{key}.models.{model.name}", model, settings, share, of)
    pinned = [_needed(model, settings) for model in family.models if model.pinned]
    needed = CUDA_CONTEXT_GB + sum(pinned)
    if needed > share:
        yield (
            f"{key}.options.ray_actor_options.num_gpus: expected room for {needed:.1f} GB of "
            f"pinned models, but {of}{_one_gpu(gpus)}"
        )


def _sized(
    where: str, model: ModelSpec, settings: Settings, share: float, of: str
) -> Iterator[str]:
    if model.pinned and model.memory_gb is None:
        yield f"{where}.memory_gb: expected, since the family asks for GPUs"
    weights = weights_gb(model, settings)
    if model.memory_gb is not None and weights is not None and weights > model.memory_gb:
        yield (
            f"{where}.memory_gb: expected at least {math.ceil(weights * 10) / 10:.1f}, which its "
            f"weights take alone (got {model.memory_gb:g})"
        )
    alone = CUDA_CONTEXT_GB + _needed(model, settings)
    if not model.pinned and alone > share:
        yield (
            f"{where}: expected to fit its replica's share of a GPU, but it takes {alone:.1f} GB "
            f"and {of}"
        )


def _one_gpu(gpus: float) -> str:
    return f" (a model lives on one GPU; {gpus:g} hold no larger one)" if gpus > 1 else ""


def _needed(model: ModelSpec, settings: Settings) -> float:
    """What the profile says, else what the weights take at least, where they are at hand."""
    return model.memory_gb or weights_gb(model, settings) or 0.0


def weights_gb(model: ModelSpec, settings: Settings) -> float | None:
    """What the weights alone take on a GPU; ``None`` where they are not on this machine."""
    try:
        folder = find_cached(model.source, settings.hf_cache_dir)
    except WeightsError:
        return None
    numbers = 0 if folder is None else sum(map(_numbers, folder.rglob("*.safetensors")))
    if numbers == 0 or model.engine == "openvino":
        return None
    quantised = "nf4" if settings.use_quantization else "none"
    kind = model.quantization if model.quantization != "none" else quantised
    return numbers * QUANTISED.get(kind, BYTES[model.dtype]) / GIB


def _numbers(file: Path) -> int:
    """How many numbers are in a safetensors file, by its header alone."""
    try:
        with file.open("rb") as content:
            size = int.from_bytes(content.read(8), "little")
            header = json.loads(content.read(min(size, MAX_HEADER)))
    except (OSError, ValueError):
        return 0  # not a whole one: whoever loads it says so
    tensors = (each for name, each in header.items() if name != "__metadata__")
    return sum(math.prod(each["shape"]) for each in tensors)
