"""Converts ``pytorch_model*.bin`` files to safetensors, without running code in the pickles."""

from __future__ import annotations

import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from deployments.conversion.errors import ConversionError

if TYPE_CHECKING:
    import torch

_PATTERN = "pytorch_model*.bin"


def write_checkpoint(origin: Path, folder: Path) -> None:
    """Copy ``origin``, with safetensors in place of pickled weights in each folder."""
    from huggingface_hub import save_torch_state_dict

    skipped = shutil.ignore_patterns(_PATTERN, "pytorch_model*.bin.index.json", "prsm-weights.json")
    shutil.copytree(origin, folder, ignore=skipped, dirs_exist_ok=True)
    for home in sorted({file.parent for file in origin.rglob(_PATTERN)}):
        if any(home.glob("*.safetensors")):
            continue
        tensors = _read(sorted(home.glob(_PATTERN)))
        save_torch_state_dict(tensors, folder / home.relative_to(origin))


def _read(shards: list[Path]) -> dict[str, torch.Tensor]:
    import torch

    tensors: dict[str, torch.Tensor] = {}
    for shard in shards:
        try:
            loaded = torch.load(shard, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            raise ConversionError(
                f"{shard.name} holds more than weights, so it was not read: {error}"
            ) from error
        if not isinstance(loaded, dict) or not all(
            isinstance(value, torch.Tensor) for value in loaded.values()
        ):
            raise ConversionError(f"{shard.name} is not a mapping of names to tensors")
        tensors.update(loaded)
    return tensors
