"""Loading a model of transformers from its folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from configs.profile import ModelSpec
from deployments.models.config import FamilyConfig
from deployments.models.device import pick_dtype

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


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
