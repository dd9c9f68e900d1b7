"""Reads ``model_index.json``, which names the class and the parts of a pipeline of diffusers."""

from __future__ import annotations

import re
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

TEXT_ENCODERS = ("CLIPTextModel", "CLIPTextModelWithProjection")
TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
CLASSES: Mapping[str, tuple[str, ...]] = {
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "unet": ("UNet2DConditionModel",),
    "text_encoder": TEXT_ENCODERS,
    "text_encoder_2": TEXT_ENCODERS,
    "tokenizer": TOKENIZERS,
    "tokenizer_2": TOKENIZERS,
    "safety_checker": ("StableDiffusionSafetyChecker",),
    "feature_extractor": ("CLIPImageProcessor", "CLIPImageProcessorPil", "CLIPFeatureExtractor"),
    "image_encoder": ("CLIPVisionModelWithProjection",),
}
"""The classes that each part may be of; a scheduler is any of diffusers' own. diffusers would load
a pipeline as a part too, and that with no word of safetensors or of files that are here alone."""

SCHEDULER = re.compile(r"[A-Za-z0-9]+Scheduler")

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
        if not is_part or part.startswith("_") or value == LEFT_OUT:
            continue
        if (reason := _why_not_loaded(part, value)) is not None:
            return reason
    return None


def _why_not_loaded(part: str, value: Any) -> str | None:
    shown = part[:100]
    match value:
        case [str(library), str()] if library not in LIBRARIES:
            return f"its {shown} has code of its own"
        case [str(library), str(name)]:
            return None if _is_loaded(part, library, name) else f"its {shown} is a {name[:100]}"
    return f"its {PIPELINE_INDEX} names no library and class for its {shown}"


def _is_loaded(part: str, library: str, name: str) -> bool:
    if part == "scheduler":
        return library == "diffusers" and SCHEDULER.fullmatch(name) is not None
    return name in CLASSES.get(part, ())
