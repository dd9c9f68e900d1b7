"""The memory that a replica's models may take together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

from configs.profile import ModelSpec
from configs.weights import min_weight_bytes
from deployments.models.errors import ModelUnavailable
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import GIB

MIN_PARTS = {"none": 1.0, "int8": 0.25, "nf4": 0.125}
"""The smallest part of a float32 checkpoint's size that stays in memory, by quantisation."""


class MemoryBudget:
    """A bound of ``limit_gb`` on the memory of all models with full KV caches; ``None`` is none."""

    def __init__(self, limit_gb: float | None) -> None:
        self._limit = None if limit_gb is None else int(limit_gb * GIB)

    @property
    def is_bounded(self) -> bool:
        return self._limit is not None

    async def excess(
        self, loaded: Collection[LoadedModel[Any]], more: int = 0
    ) -> tuple[int, dict[str, int]]:
        """By how many bytes the models take too much, with ``more`` bytes beside them, and the
        bytes of each by name. Zero or less: they fit."""
        if self._limit is None:
            return 0, {}
        sizes = await model_sizes(loaded)
        return sum(sizes.values()) + more - self._limit, sizes

    async def check_fit(
        self, spec: ModelSpec, needed: int, pinned: Collection[LoadedModel[Any]]
    ) -> None:
        """Raises :class:`ModelUnavailable` if ``needed`` bytes do not fit beside what is pinned."""
        if self._limit is None:
            return
        room = self._limit - sum((await model_sizes(pinned)).values())
        if needed > room:
            takes = f"it takes {needed / GIB:.2f} GiB"
            left = f"the models that stay leave {max(0, room) / GIB:.2f} GiB for others"
            raise ModelUnavailable(spec.name, f"{takes}, and {left}")


def min_bytes(folder: Path, spec: ModelSpec, *, in_half: bool) -> int:
    """The fewest bytes that the model may take in memory: its KV cache, and its weights where
    their files tell.

    ``in_half``: torch keeps the weights in half precision, if it runs the model.
    """
    files = (file for file in folder.rglob("*") if file.is_file())
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    dtype_part = 0.5 if in_half and "openvino" not in spec.engines else 1.0
    part = min(dtype_part, MIN_PARTS[spec.quantization])
    return int(min_weight_bytes(sizes) * part) + int(spec.kv_cache_min_gb * GIB)


async def model_sizes(loaded: Collection[LoadedModel[Any]]) -> dict[str, int]:
    """The bytes that each model counts as taking, by name.

    Counted in a thread: for the process of a model it takes milliseconds.
    """
    models = list(loaded)
    return await asyncio.to_thread(lambda: {each.spec.name: each.budget_bytes() for each in models})
