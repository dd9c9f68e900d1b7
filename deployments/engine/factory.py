"""Engines by name, importing only the one that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from deployments.engine.interface import Engine
from deployments.engine.openvino import engine as openvino

EngineKind: TypeAlias = Literal["openvino", "torch"]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Bounds of an engine.

    ``kv_cache_gb`` is in GiB, ``None`` the engine's own default. ``device`` and ``options``, which
    are keyword arguments of ``from_pretrained``, are of the torch engine. ``None`` leaves the
    window to the model and the threads to the library; ``chat_template`` takes the place of the
    model's own.
    """

    slots: int = 16
    threads: int | None = None
    kv_cache_gb: float | None = None
    max_batched_tokens: int = 512
    window: int | None = None
    chat_template: str | None = None
    device: str = "auto"
    hang_after_s: float = 120.0
    options: Mapping[str, Any] = field(default_factory=dict)


def open_engine(
    kind: EngineKind, folder: Path | str, settings: EngineSettings | None = None
) -> Engine:
    """Load a model and start its engine; takes seconds.

    Raises ``EngineNotLoaded`` when the folder cannot be served, ``FileNotFoundError`` when there
    is none.
    """
    given = settings or EngineSettings()
    if kind == "openvino":
        return openvino.OpenVinoEngine(
            folder,
            slots=given.slots,
            threads=given.threads,
            kv_cache_gb=openvino.KV_CACHE_GB if given.kv_cache_gb is None else given.kv_cache_gb,
            max_batched_tokens=given.max_batched_tokens,
            window=given.window,
            chat_template=given.chat_template,
            hang_after_s=given.hang_after_s,
        )
    from deployments.engine.torch_engine import TorchEngine

    return TorchEngine(
        folder,
        slots=given.slots,
        kv_cache_gb=given.kv_cache_gb,
        device=given.device,
        window=given.window,
        chat_template=given.chat_template,
        threads=given.threads,
        options=given.options,
        prefill_chunk=given.max_batched_tokens,
        hang_after_s=given.hang_after_s,
    )
