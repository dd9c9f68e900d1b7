"""Loads a pipeline of diffusers from its folder onto the device."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.detection.errors import ModelRefusedError
from configs.detection.model_files import ModelFiles
from configs.detection.pipeline_index import why_not_run
from configs.profile import ModelSpec
from configs.weights import PIPELINE_INDEX
from configs.weights.weight_files import HALF, pipeline_weights
from deployments.models.config import FamilyConfig
from deployments.models.device import claim_device, pick_dtype
from deployments.models.load_errors import UnsupportedError
from deployments.models.memory import own_weights

logger = logging.getLogger(__name__)


def load_pipeline(config: FamilyConfig, spec: ModelSpec) -> Any:
    """The pipeline ``spec``, on its device, of safetensors and of no code but diffusers' own.

    Raises :class:`UnsupportedError` for a pipeline that this family does not run.
    """
    import diffusers

    folder = config.folder(spec)
    index = _index(folder)
    device = claim_device(config)
    if config.settings.use_quantization and device == "cuda":
        logger.warning("use_quantization is not for pipelines; %s is loaded as it is", spec.name)
    pipeline = getattr(diffusers, index["_class_name"]).from_pretrained(
        str(folder),
        dtype=pick_dtype(spec, device),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        variant=_variant(folder),
    )
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    for network in _networks(pipeline):
        own_weights(network)
        network.eval()
    pipeline.vae.enable_slicing()  # an image at a time: its memory, and a step of progress
    return pipeline


def _index(folder: Path) -> dict[str, Any]:
    """What the pipeline is made of. Raises :class:`UnsupportedError` if that cannot be loaded."""
    try:
        index = ModelFiles(folder, {PIPELINE_INDEX: 0}).json(PIPELINE_INDEX)
        reason = why_not_run(index)
    except ModelRefusedError as error:
        reason = str(error)
    if reason is not None:
        raise UnsupportedError(reason)  # no cause, which would be the reason instead
    return index


def _networks(pipeline: Any) -> Iterator[Any]:
    import torch

    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            yield part


def _variant(folder: Path) -> str | None:
    """``fp16`` for a checkpoint that has a part in nothing but half precision."""
    names = [file.relative_to(folder).as_posix() for file in folder.glob("*/*.safetensors")]
    return HALF if any(f".{HALF}" in name for name in pipeline_weights(names)) else None
