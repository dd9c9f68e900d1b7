"""The rules of one model of a profile, or of one that is loaded by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from configs.dtype_rules import broken_dtype
from configs.engines import GENERATION_TASKS, IMAGE_GENERATION_TASK
from configs.profile import ModelSpec

GENERATORS_ONLY = ("slots", "kv_cache_gb", "window", "prefill_tokens")
"""Keys that only models for text generation use."""

IMAGE_GENERATORS_ONLY = ("steps", "guidance_scale")
"""Keys that only models for text to image use."""


def broken_model(model: ModelSpec, nodes: Literal["one", "many"]) -> Iterator[str]:
    """A message for each rule that ``model`` breaks, as ``key: what was expected``."""
    if model.engine == "openvino" and model.quantization != "none":
        yield "quantization: expected none (the openvino engine takes weights as is)"
    yield from _exported(model)
    yield from broken_dtype(model, nodes)
    if model.forwards > 1 and (model.head is None or "openvino" not in model.engines):
        yield "forwards: expected 1 (only encoders on openvino run several at a time)"
    yield from _of_generators(model)
    yield from _of_image_generators(model)
    if model.tool_calls and "chat" not in model.tasks:
        yield "tool_calls: expected the task chat as well"
    if model.reads_images and "chat" not in model.tasks:
        yield "reads_images: expected the task chat as well"
    if model.reads_images and model.engine == "openvino":
        yield "reads_images: expected the engine torch (the openvino engine reads no images)"


def _of_generators(model: ModelSpec) -> Iterator[str]:
    """Other models must not have the keys of text generators."""
    if GENERATION_TASKS.isdisjoint(model.tasks):
        given = (name for name in GENERATORS_ONLY if name in model.model_fields_set)
        yield from (f"{name}: expected none (only text generators have it)" for name in given)


def _of_image_generators(model: ModelSpec) -> Iterator[str]:
    """A pipeline is loaded in the dtype of the profile, of safetensors and of diffusers' code."""
    if IMAGE_GENERATION_TASK not in model.tasks:
        given = (name for name in IMAGE_GENERATORS_ONLY if name in model.model_fields_set)
        yield from (f"{name}: expected none (only image generators have it)" for name in given)
        return
    if model.quantization != "none":
        yield "quantization: expected none (pipelines of diffusers are loaded unquantised)"
    if model.trust_remote_code:
        yield "trust_remote_code: expected false (no code of a pipeline is run)"
    if model.source.allow_bin:
        yield "source.allow_bin: expected false (pipelines of diffusers are loaded of safetensors)"


def _exported(model: ModelSpec) -> Iterator[str]:
    """Problems of a model for which the profile demands OpenVINO."""
    if model.engine != "openvino" or not GENERATION_TASKS.isdisjoint(model.tasks):
        return
    if model.head is None:
        yield f"engine: expected auto or torch (no openvino engine does {', '.join(model.tasks)})"
    if model.trust_remote_code:
        yield "engine: expected auto or torch (openvino converts no model with code of its own)"
