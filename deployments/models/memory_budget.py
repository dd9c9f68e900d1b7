"""The memory that a replica's models may take together, and which model is evicted first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from configs.profile import ModelSpec
from deployments.models.errors import ModelUnavailable
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import GIB

MIN_PARTS = {"none": 1.0, "int8": 0.25, "nf4": 0.125}
"""The smallest part of a float32 checkpoint's size that stays in memory, by quantisation."""

WEIGHT_FILES = frozenset({".safetensors", ".gguf", ".bin"})


class MemoryBudget:
    """A bound of ``limit_gb`` on the measured memory of all models; ``None`` is no bound.

    Its methods count the bytes of other processes, which takes milliseconds: they are not for an
    event loop.
    """

    def __init__(self, limit_gb: float | None) -> None:
        self._limit = None if limit_gb is None else int(limit_gb * GIB)

    @property
    def is_bounded(self) -> bool:
        return self._limit is not None

    def is_exceeded(self, loaded: Iterable[LoadedModel[Any]], more: int = 0) -> bool:
        """Whether the models take too much, with ``more`` bytes beside them."""
        return self._limit is not None and _total_bytes(loaded) + more > self._limit

    def check_fit(self, spec: ModelSpec, needed: int, pinned: Iterable[LoadedModel[Any]]) -> None:
        """Raises :class:`ModelUnavailable` if ``needed`` bytes do not fit beside what is pinned."""
        if self._limit is None:
            return
        taken = _total_bytes(pinned)
        if needed + taken > self._limit:
            room = max(0, self._limit - taken) / GIB
            takes = f"it takes {needed / GIB:.2f} GiB"
            reason = f"{takes}, and the models that stay leave {room:.2f} GiB for others"
            raise ModelUnavailable(spec.name, reason)


def least_recently_used(
    loaded: Iterable[LoadedModel[Any]], staying: Collection[str | None]
) -> LoadedModel[Any] | None:
    """The model to evict first, of those that no request uses and that need not stay."""
    idle = [model for model in loaded if not (model.users or model.spec.name in staying)]
    return min(idle, key=lambda model: model.last_used, default=None)


def min_bytes(folder: Path, spec: ModelSpec, *, in_half: bool) -> int:
    """The fewest bytes that the weights may take in memory; 0 when their files do not tell.

    ``in_half``: torch keeps them in half precision, if it runs the model.
    """
    files = [file for file in folder.rglob("*") if file.suffix in WEIGHT_FILES]
    dtype_part = 0.5 if in_half and "openvino" not in spec.engines else 1.0
    part = min(dtype_part, MIN_PARTS[spec.quantization])
    return int(sum(file.stat().st_size for file in files) * part)


def _total_bytes(loaded: Iterable[LoadedModel[Any]]) -> int:
    return sum(model.total_bytes() for model in loaded)
