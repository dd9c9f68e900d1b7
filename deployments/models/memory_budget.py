"""The memory that a replica's models may take together, and which model is evicted first."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from configs.profile import ModelSpec
from configs.weights import weight_bytes
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

    async def is_exceeded(self, loaded: Collection[LoadedModel[Any]], more: int = 0) -> bool:
        """Whether the models take too much, with ``more`` bytes beside them."""
        return self._limit is not None and await _total_bytes(loaded) + more > self._limit

    async def check_fit(
        self, spec: ModelSpec, needed: int, pinned: Collection[LoadedModel[Any]]
    ) -> None:
        """Raises :class:`ModelUnavailable` if ``needed`` bytes do not fit beside what is pinned."""
        if self._limit is None:
            return
        room = self._limit - await _total_bytes(pinned)
        if needed > room:
            takes = f"it takes {needed / GIB:.2f} GiB"
            left = f"the models that stay leave {max(0, room) / GIB:.2f} GiB for others"
            raise ModelUnavailable(spec.name, f"{takes}, and {left}")


def least_recently_used(
    loaded: Iterable[LoadedModel[Any]], staying: Collection[str | None]
) -> LoadedModel[Any] | None:
    """The model to evict first, of those that no request uses and that need not stay."""
    idle = [model for model in loaded if not (model.users or model.spec.name in staying)]
    return min(idle, key=lambda model: model.last_used, default=None)


def min_bytes(folder: Path, spec: ModelSpec, *, in_half: bool) -> int:
    """The fewest bytes that the model may take in memory: its KV cache, and its weights where
    their files tell.

    ``in_half``: torch keeps the weights in half precision, if it runs the model.
    """
    files = (file for file in folder.rglob("*") if file.is_file())
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    dtype_part = 0.5 if in_half and "openvino" not in spec.engines else 1.0
    part = min(dtype_part, MIN_PARTS[spec.quantization])
    return int(weight_bytes(sizes) * part) + int(spec.kv_cache_min_gb * GIB)


async def _total_bytes(loaded: Collection[LoadedModel[Any]]) -> int:
    """Counted in a thread: for the process of a model it takes milliseconds."""
    return await asyncio.to_thread(lambda: sum(model.budget_bytes() for model in loaded))
