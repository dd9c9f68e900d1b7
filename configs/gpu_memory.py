"""Checks that the models of a family fit the share of a GPU that each of its replicas has."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from configs.profile import FamilySpec, ModelSpec, Profile
from configs.settings import Settings
from configs.weights import PIPELINE_INDEX, WeightsError, find_cached
from configs.weights.weight_files import pipeline_weights

GIB = 1024**3

CUDA_CONTEXT_GB = 0.5
"""Memory that a process takes on a GPU before its first tensor: kernels and the CUDA context."""

BYTES_BY_DTYPE = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "auto": 2.0}
"""Bytes of one number on a GPU, where ``auto`` is half precision."""

BYTES_QUANTISED = {"int8": 1.0, "nf4": 0.5}
"""Bytes of one quantised number."""

MAX_HEADER = 100_000_000
"""Bytes of the header of a safetensors file; the library refuses longer ones."""


def too_large(key: str, family: FamilySpec, profile: Profile, settings: Settings) -> Iterator[str]:
    """Every way in which the models of ``family`` exceed its fraction of a GPU's memory.

    Pinned models fit it together, and each other model beside them. Replicas that share a GPU then
    fit it together. A model lives on one GPU, so a replica with
    several GPUs fits no larger model than a replica with one.
    """
    gpus = family.options.ray_actor_options.num_gpus
    if gpus == 0:
        return
    if profile.gpu_memory_gb is None:
        yield "gpu_memory_gb: expected the memory of one GPU, since families ask for GPUs"
        return
    share = min(gpus, 1.0) * profile.gpu_memory_gb
    of = f"{min(gpus, 1.0):g} of {profile.gpu_memory_gb:g} GB is {share:.1f} GB"
    pinned = sum(_needed(model, settings) for model in family.models if model.pinned)
    for model in family.models:
        yield from _sized(f"{key}.models.{model.name}", model, settings)
        if not model.pinned:
            yield from _on_demand(f"{key}.models.{model.name}", model, settings, pinned, share, of)
    needed = CUDA_CONTEXT_GB + pinned
    if needed > share:
        yield (
            f"{key}.options.ray_actor_options.num_gpus: expected room for {needed:.1f} GB of "
            f"pinned models, but {of}{_one_gpu(gpus)}"
        )


def _sized(where: str, model: ModelSpec, settings: Settings) -> Iterator[str]:
    if model.pinned and model.memory_gb is None:
        yield f"{where}.memory_gb: expected, since the family asks for GPUs"
    least = _least_gb(model, settings)
    if model.memory_gb is not None and least is not None and least > model.memory_gb:
        parts = "weights and KV cache" if model.kv_cache_min_gb else "weights"
        yield (
            f"{where}.memory_gb: expected at least {math.ceil(least * 10) / 10:.1f}, which its "
            f"{parts} take alone (got {model.memory_gb:g})"
        )


def _on_demand(
    where: str, model: ModelSpec, settings: Settings, pinned: float, share: float, of: str
) -> Iterator[str]:
    """A model that loads on demand: other such models make room for it, pinned ones do not."""
    alone = CUDA_CONTEXT_GB + _needed(model, settings)
    if alone > share:
        yield (
            f"{where}: expected to fit its replica's share of a GPU, but it takes {alone:.1f} GB "
            f"and {of}"
        )
    elif share >= CUDA_CONTEXT_GB + pinned > share - _needed(model, settings):
        yield (
            f"{where}: expected to fit beside the pinned models, but it takes {alone:.1f} GB, "
            f"they take {pinned:.1f} GB, and {of}"
        )


def _one_gpu(gpus: float) -> str:
    return f" (a model lives on one GPU; {gpus:g} hold no larger one)" if gpus > 1 else ""


def unknown_sizes(profile: Profile, settings: Settings) -> Iterator[str]:
    """A note for each model on a GPU whose size cannot be checked, since its weights are not here
    as safetensors yet."""
    for family in profile.families:
        if family.options.ray_actor_options.num_gpus == 0:
            continue
        for model in family.models:
            if model.engine == "openvino" or weights_gb(model, settings) is not None:
                continue
            key = f"families.{family.name}.models.{model.name}"
            unknown = f"{key}: its size is not known before its weights are fetched"
            if model.memory_gb is None:
                yield f"{unknown}; memory_gb would say now whether it fits a GPU"
            else:
                yield f"{unknown}; memory_gb ({model.memory_gb:g}) is taken as it is"


def _needed(model: ModelSpec, settings: Settings) -> float:
    """GB that a model needs: by the profile, else the least by its weights if they are cached."""
    return model.memory_gb or _least_gb(model, settings) or 0.0


def _least_gb(model: ModelSpec, settings: Settings) -> float | None:
    """GB of the weights and the KV cache; ``None`` if the weights are not on this machine."""
    weights = weights_gb(model, settings)
    return None if weights is None else weights + model.kv_cache_min_gb


def weights_gb(model: ModelSpec, settings: Settings) -> float | None:
    """GB of the weights alone on a GPU; ``None`` if they are not on this machine."""
    try:
        folder = find_cached(model.source, settings.hf_cache_dir)
    except WeightsError:
        return None
    parameters = 0 if folder is None else sum(map(_parameters, _loaded_safetensors(folder)))
    if parameters == 0 or model.engine == "openvino" or model.dtype not in BYTES_BY_DTYPE:
        return None  # never on a GPU, or refused by another rule
    quantised = "nf4" if settings.use_quantization else "none"
    kind = model.quantization if model.quantization != "none" else quantised
    return parameters * BYTES_QUANTISED.get(kind, BYTES_BY_DTYPE[model.dtype]) / GIB


def _loaded_safetensors(folder: Path) -> Iterator[Path]:
    """Of a pipeline of diffusers those that are loaded, which may lie beside other variants."""
    files = folder.rglob("*.safetensors")
    if not (folder / PIPELINE_INDEX).exists():
        return files
    names = [file.relative_to(folder).as_posix() for file in files]
    return (folder / name for name in pipeline_weights(names))


def _parameters(file: Path) -> int:
    """The number of parameters in a safetensors file, from its header."""
    try:
        with file.open("rb") as content:
            size = int.from_bytes(content.read(8), "little")
            header = json.loads(content.read(min(size, MAX_HEADER)))
    except (OSError, ValueError):
        return 0  # a damaged file, which is reported when it is loaded
    tensors = (each for name, each in header.items() if name != "__metadata__")
    return sum(math.prod(each["shape"]) for each in tensors)
