"""Opens the torch engine: loads a transformers model and chooses the runner that can step it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from deployments.engine.codec import TextCodec
from deployments.engine.engine_codec import codec_of
from deployments.engine.engine_core import EngineCore
from deployments.engine.image_text_forward import ImageTextForward, check_image_model
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.kv_budget import KvCacheBudget, weight_bytes
from deployments.engine.model_folder import ModelFolder
from deployments.engine.packed_model import PackedModel
from deployments.engine.packing_probe import NotPackable
from deployments.engine.prepacked_linear import prepack
from deployments.engine.sequence import Sequence
from deployments.engine.sequential_runner import Forward, SequentialRunner
from deployments.engine.settings import EngineSettings
from deployments.engine.torch_runner import TorchRunner
from deployments.engine.tuning import MAX_MIXED_PREFILL_ON_CPU

logger = logging.getLogger(__name__)

_DEFAULT_WINDOW = 2048
"""The window of a model whose ``config.json`` has no maximum of positions."""


def open_torch_engine(folder: Path | str, settings: EngineSettings) -> EngineCore:
    """Load the model in ``folder`` and start its engine.

    ``settings.threads`` is torch's, for the whole process. Raises ``EngineNotLoaded`` when
    transformers cannot load the folder, ``FileNotFoundError`` when there is none.
    """
    files = ModelFolder.read(folder)
    device = _device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    options = {"dtype": _dtype(settings.dtype, device), **settings.options}
    bounds = [each for each in (settings.window, files.window) if each is not None]
    window = min(bounds, default=_DEFAULT_WINDOW)
    codec = codec_of(folder, settings)
    if settings.reads_images:
        model = _load("AutoModelForImageTextToText", files.path, device, options)
        engine = _image_engine(model, codec, window, settings)
    else:
        model = _load("AutoModelForCausalLM", files.path, device, options)
        engine = engine_of(model, codec, window, settings)
    engine.start()
    return engine


def engine_of(
    model: Any,
    codec: TextCodec,
    window: int,
    settings: EngineSettings,
    *,
    packed: PackedModel | None = None,
    overlap: bool | None = None,
) -> EngineCore:
    """The engine of a loaded model, not started: with continuous batching, or one sequence at a
    time where the model cannot.

    ``packed`` is the model with a KV cache, if the caller has made one. Tokens are delivered while
    the next step is computed if ``overlap`` says so; by default on CUDA.
    """
    try:
        packed = packed or PackedModel.of(model, window, settings.slots, settings.kv_cache_gb)
    except NotPackable as error:
        logger.warning("The model decodes one sequence at a time: %s", error)
        return _sequential(model, codec, window, settings)
    on_cpu = packed.device.type == "cpu"
    runner = TorchRunner(
        packed,
        codec,
        weight_bytes=weight_bytes(model),
        max_batched_tokens=settings.max_batched_tokens,
        max_mixed_prefill=MAX_MIXED_PREFILL_ON_CPU if on_cpu else settings.max_batched_tokens,
        overlap=packed.device.type == "cuda" if overlap is None else overlap,
    )
    return EngineCore(
        codec,
        runner,
        slots=settings.slots,
        window=min(window, packed.cache.blocks * packed.cache.block_tokens),
        hang_after_s=settings.hang_after_s,
    )


def _image_engine(
    model: Any, codec: TextCodec, window: int, settings: EngineSettings
) -> EngineCore:
    """The engine of a vision-language model: a prompt is one forward, since its images are."""
    check_image_model(model, codec, window)

    def open_forward(sequence: Sequence) -> ImageTextForward:
        return ImageTextForward(model, sequence.inputs, len(sequence.prompt_ids))

    settings = replace(settings, max_batched_tokens=window)
    return _sequential(model, codec, window, settings, open_forward)


def _sequential(
    model: Any,
    codec: TextCodec,
    window: int,
    settings: EngineSettings,
    open_forward: Callable[[Sequence], Forward] | None = None,
) -> EngineCore:
    budget = KvCacheBudget.measured(model, window, settings.kv_cache_gb)
    return EngineCore(
        codec,
        SequentialRunner(model, codec, budget, settings.max_batched_tokens, open_forward),
        slots=1,
        window=budget.window,
        hang_after_s=settings.hang_after_s,
    )


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name != "auto":
        dtype = getattr(torch, name, None)
        if not isinstance(dtype, torch.dtype):
            raise EngineNotLoaded(f"torch knows no dtype {name!r}")
        return dtype
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def _load(auto_class: str, folder: Path, device: torch.device, options: Mapping[str, Any]) -> Any:
    from deployments.models.pretrained import load_pretrained  # imports the profile's schema

    given = {"local_files_only": True, "use_safetensors": True, **options}
    try:
        model = load_pretrained(auto_class, folder, device, given)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise EngineNotLoaded(f"transformers cannot load {folder}: {error}") from error
    if device.type == "cpu":
        prepack(model)
    return model
