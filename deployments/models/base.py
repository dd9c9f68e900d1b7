"""What every family shares: its configuration, its device and its memory on it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.engines import ModelHead
from configs.processor import native_bfloat16, usable_cores
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import Export, exported, materialise
from deployments.seam.problems import Problem

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class ModelUnavailable(Exception):
    """A model that could not be loaded; ``reason`` is fit for a client."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.reason = reason
        self.problem = Problem("unavailable", f"The model {name} could not be loaded: {reason}.")


class Overloaded(ModelUnavailable):
    """As much waits for a model as may; ``what`` says of what."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, f"too many {what} wait for it")
        message = f"Too many {what} are waiting for the model {name}."
        self.problem = Problem("overloaded", message)


@dataclass(frozen=True, slots=True)
class FamilyConfig:
    """What ``graph.build`` hands to a family's deployment. ``ledger`` is a handle, under Serve."""

    name: str
    models: tuple[ModelSpec, ...]
    settings: Settings
    gpu_fraction: float = 0.0
    ledger: Any = None

    def folder(self, model: ModelSpec) -> Path:
        """The model's weights on this node; fetched and converted here if they are not yet."""
        return materialise(model.source, self.settings.hf_cache_dir, token=self.settings.token)

    def export(self, model: ModelSpec, head: ModelHead) -> Export:
        """The same weights as OpenVINO takes them, and how fast it is with them on this node."""
        settings = self.settings
        return exported(model.source, head, settings.hf_cache_dir, token=settings.token)

    @property
    def threads(self) -> int:
        """Threads for arithmetic. Ray's ``num_cpus`` is for scheduling and would give one."""
        return self.settings.threads or usable_cores()


def pick_device(config: FamilyConfig) -> str:
    """``cuda``, ``mps`` or ``cpu``: what the settings ask for, if this replica can see it.

    A family without a GPU fraction has no GPU, so ``auto`` is the CPU there: Ray counts that GPU
    as free, but by default it does not hide it (``RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO``). Raises
    ``RuntimeError`` when a device that was asked for by name is not there.
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
        raise RuntimeError(f"device {wanted} was asked for, but this replica has none")
    return wanted


def claim_device(config: FamilyConfig) -> str:
    """Pick the device, set threads, and keep to this replica's share of the GPU's memory.

    Ray's fractions share out the device, not its memory, so each replica bounds its own.
    """
    import torch

    device = pick_device(config)
    torch.set_num_threads(config.threads)
    # Transformers' loading threads keep hundreds of megabytes of what they loaded for good.
    os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")
    if device == "cuda" and 0 < config.gpu_fraction < 1:
        torch.cuda.set_per_process_memory_fraction(config.gpu_fraction)
    return device


def pick_dtype(model: ModelSpec, device: str) -> torch.dtype:
    """The dtype to compute in: what the profile says, else what the processor is fast at.

    On CPUs without bfloat16 arithmetic of their own the narrower types are slower than float32.
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


def load_options(
    config: FamilyConfig, model: ModelSpec, device: str, unquantised: Sequence[str] = ()
) -> dict[str, Any]:
    """Keyword arguments of ``from_pretrained``: dtype, quantisation, trust, safetensors only.

    ``unquantised`` modules keep their weights as they are; by default transformers chooses.
    """
    options: dict[str, Any] = {
        "dtype": pick_dtype(model, device),
        "trust_remote_code": model.trust_remote_code,
        "use_safetensors": True,
        "local_files_only": True,
    }
    quantization = wanted_quantization(config, model, device)
    if quantization != "none":
        options["quantization_config"] = _bitsandbytes(
            quantization, options["dtype"], list(unquantised) or None
        )
        # Left to itself bitsandbytes takes any GPU there is, whatever the settings say.
        options["device_map"] = {"": device}
    return options


def wanted_quantization(config: FamilyConfig, model: ModelSpec, device: str) -> str:
    """What the profile says, else what the settings want on ``device``."""
    if model.quantization != "none":
        return model.quantization
    if not config.settings.use_quantization:
        return "none"
    if device == "cuda":
        return "nf4"
    logger.warning("use_quantization is for CUDA; %s is loaded unquantised", model.name)
    return "none"


def _bitsandbytes(quantization: str, dtype: torch.dtype, unquantised: list[str] | None) -> Any:
    import torch
    from transformers import BitsAndBytesConfig as Config

    config: Any = Config  # untyped

    if quantization == "int8":
        return config(load_in_8bit=True, llm_int8_skip_modules=unquantised)
    return config(
        load_in_4bit=True,
        llm_int8_skip_modules=unquantised,  # of 4 bits as well, despite its name
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32 if dtype is torch.float32 else torch.float16,
    )
