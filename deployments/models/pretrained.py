"""Loads models, tokenizers and processors of transformers from their folders onto the device."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.profile import ModelSpec
from deployments.models.config import FamilyConfig
from deployments.models.device import claim_device, pick_dtype
from deployments.models.memory import own_weights

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


def load_model(
    auto_class: str, folder: Path, config: FamilyConfig, spec: ModelSpec
) -> tuple[Any, str]:
    """The model ``spec`` by a class of transformers, ready to answer, and its device."""
    device = claim_device(config)
    return load_pretrained(auto_class, folder, device, load_options(config, spec, device)), device


def load_pretrained(
    auto_class: str, folder: Path | str, device: Any, options: Mapping[str, Any]
) -> Any:
    """The model in ``folder`` by a class of transformers, ready to answer on ``device``.

    ``options`` are those of ``from_pretrained``, as :func:`load_options` makes them.
    """
    import transformers

    model = getattr(transformers, auto_class).from_pretrained(str(folder), **options)
    if "device_map" not in options:
        model = model.to(device)
    own_weights(model)
    return model.eval()


def load_tokenizer(folder: Path, *, trust_remote_code: bool) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=trust_remote_code
    )


def load_processor(auto_class: str, folder: Path, spec: ModelSpec) -> Any:
    """A processor of images by a class of transformers, on Pillow: none needs torchvision."""
    import transformers

    return getattr(transformers, auto_class).from_pretrained(
        folder, local_files_only=True, trust_remote_code=spec.trust_remote_code, backend="pil"
    )


def load_options(
    config: FamilyConfig, model: ModelSpec, device: str, unquantised: Sequence[str] = ()
) -> dict[str, Any]:
    """Keyword arguments of ``from_pretrained``, which takes only safetensors that are here.

    On CUDA and MPS weights go straight to the device, without a whole copy of them in the host's
    memory. ``unquantised`` modules keep their weights as they are; by default transformers chooses.
    """
    options: dict[str, Any] = {
        "dtype": pick_dtype(model, device),
        "trust_remote_code": model.trust_remote_code,
        "use_safetensors": True,
        "local_files_only": True,
    }
    if device != "cpu":
        options["device_map"] = {"": device}
    quantization = wanted_quantization(config, model, device)
    if quantization != "none":
        options["quantization_config"] = _bitsandbytes(
            quantization, options["dtype"], list(unquantised) or None
        )
        # Left to itself bitsandbytes takes any GPU there is, whatever the settings say.
        options["device_map"] = {"": device}
    return options


def wanted_quantization(config: FamilyConfig, model: ModelSpec, device: str) -> str:
    """The quantization of the profile, else the one that the settings choose on ``device``."""
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
