"""The rules of a model's ``dtype``: which engine can compute in it, and which processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from configs.engines import GENERATION_DTYPES, GENERATION_TASKS
from configs.processor import native_bfloat16, processor_name
from configs.profile import ModelSpec


def broken_dtype(model: ModelSpec, nodes: Literal["one", "many"]) -> Iterator[str]:
    """A message if ``model`` cannot compute in its dtype, as ``key: what was expected``.

    The processor is that of this machine, so it is checked only if all is on one node.
    """
    if GENERATION_TASKS.isdisjoint(model.tasks):
        yield from _of_others(model)
        return
    (engine,) = model.engines
    able = GENERATION_DTYPES[engine]
    if model.dtype not in able:
        hint = "; the openvino engine has it" if model.dtype == "dynamic-int8" else ""
        yield f"dtype: expected {', '.join(able)} (what the {engine} engine generates in{hint})"
    elif engine == "openvino" and model.dtype == "bfloat16" and _impossible_here(nodes):
        yield f"dtype: expected auto or float32 ({processor_name()} has no bfloat16 arithmetic)"


def _impossible_here(nodes: Literal["one", "many"]) -> bool:
    return nodes == "one" and not native_bfloat16()


def _of_others(model: ModelSpec) -> Iterator[str]:
    if model.engine == "openvino" and model.head and model.dtype not in ("auto", "float32"):
        yield "dtype: expected auto or float32 (the openvino engine takes what the processor has)"
    elif model.dtype == "dynamic-int8":
        yield "dtype: expected none of text generators' (only those compute in dynamic-int8)"
