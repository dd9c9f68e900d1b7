"""The settings of an engine, of either kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.engine.tuning import DEFAULT_PREFILL_CHUNK


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Bounds of an engine.

    ``slots`` sequences run together, as far as they fit ``kv_cache_gb`` GiB of KV cache, which
    bounds the window too (``None``: the engine's own default). ``max_batched_tokens`` bounds the
    tokens of one step, and with it how long a long prompt holds up the others. ``window`` bounds a
    sequence's tokens and ``threads`` the CPU threads; ``None`` leaves them to the model and the
    library. ``chat_template`` replaces the model's own. ``hang_after_s`` bounds one step.
    A process that has not loaded its model after ``load_timeout_s`` is ended. With ``reads_images``
    it is a vision-language model, which only torch decodes.

    ``dtype`` is what the model computes in: on OpenVINO "float32", "bfloat16" or "dynamic-int8", on
    torch the name of a torch dtype. "auto" is float32 on a CPU, bfloat16 where a GPU has it, else
    float16.

    Only torch knows ``device``, where "auto" is the best device there is, ``options``, which are
    further keyword arguments of ``from_pretrained`` and outrank ``dtype``, and ``own_process``,
    which starts the engine in a process of its own. OpenVINO always has one.
    """

    slots: int = 16
    threads: int | None = None
    kv_cache_gb: float | None = None
    max_batched_tokens: int = DEFAULT_PREFILL_CHUNK
    window: int | None = None
    chat_template: str | None = None
    hang_after_s: float = 120.0
    load_timeout_s: float = 1800.0
    device: str = "auto"
    dtype: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    own_process: bool = False
    reads_images: bool = False
