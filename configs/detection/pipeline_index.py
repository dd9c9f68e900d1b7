"""Reads ``model_index.json``, which names the class and the parts of a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configs.weights import PIPELINE_INDEX

_PARTS = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")

PIPELINES: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": _PARTS,
    "StableDiffusionXLPipeline": (*_PARTS, "text_encoder_2", "tokenizer_2"),
    "LatentConsistencyModelPipeline": _PARTS,
}
"""The pipelines of diffusers that the image generation family runs, with the parts each needs."""

LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion"})
"""Where the classes of a pipeline's parts may be from. ``stable_diffusion`` is a module of
diffusers, with the safety checker."""

LEFT_OUT = [None, None]
"""In the place of a part that the pipeline does without."""


def why_not_run(index: Mapping[str, Any]) -> str | None:
    """Why no family runs a pipeline, by its ``model_index.json``, in half a sentence."""
    name = index.get("_class_name")
    if not isinstance(name, str):
        return f"its {PIPELINE_INDEX} names no class"
    if name not in PIPELINES:
        return f"it is a {name[:100]}"
    for part in PIPELINES[name]:
        if index.get(part, LEFT_OUT) == LEFT_OUT:
            return f"it has no {part}"
    for part, value in index.items():
        is_part = part in PIPELINES[name] or isinstance(value, list)
        if is_part and not part.startswith("_") and value != LEFT_OUT:
            if (reason := _why_not_loaded(part, value)) is not None:
                return reason
    return None


def _why_not_loaded(part: str, value: Any) -> str | None:
    match value:
        case [str(library), str()]:
            return None if library in LIBRARIES else f"its {part[:100]} has code of its own"
    return f"its {PIPELINE_INDEX} names no library and class for its {part[:100]}"
