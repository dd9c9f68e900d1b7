"""Reads ``model_index.json``, which names the class and the parts of a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configs.weights import PIPELINE_INDEX

PIPELINES = frozenset(
    {
        "StableDiffusionPipeline",
        "StableDiffusionXLPipeline",
        "LatentConsistencyModelPipeline",
    }
)
"""The pipelines of diffusers that the image generation family runs."""

LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion"})
"""Where the classes of a pipeline's parts may be from. ``stable_diffusion`` is a module of
diffusers, with the safety checker."""


def why_not_run(index: Mapping[str, Any]) -> str | None:
    """Why no family runs a pipeline, by its ``model_index.json``, in half a sentence."""
    name = index.get("_class_name")
    if not isinstance(name, str):
        return f"its {PIPELINE_INDEX} names no class"
    if name not in PIPELINES:
        return f"it is a {name[:100]}"
    for part, value in index.items():
        library = value[0] if isinstance(value, list) and value else None
        if not part.startswith("_") and library is not None and library not in LIBRARIES:
            return f"its {part[:100]} has code of its own"
    return None
