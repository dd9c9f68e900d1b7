"""What a replica's models may take of its memory together, and which of them go first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from configs.profile import ModelSpec
from deployments.models.errors import ModelUnavailable
from deployments.models.loaded_model import LoadedModel

GIB = 1024**3

SHRINKS = {"none": 1.0, "int8": 0.25, "nf4": 0.125}
"""The least of a float32 checkpoint's size that is left in memory, by quantisation."""

WEIGHT_FILES = frozenset({".safetensors", ".gguf", ".bin"})


class MemoryBudget:
    """``limit_gb`` bounds what the models take together, measured; ``None`` is no bound."""

    def __init__(self, limit_gb: float | None) -> None:
        self._limit = None if limit_gb is None else int(limit_gb * GIB)

    def is_passed(self, residents: Iterable[LoadedModel[Any]], more: int = 0) -> bool:
        """Whether the models take too much, with ``more`` bytes beside them."""
        return self._limit is not None and _held(residents) + more > self._limit

    def must_fit(self, spec: ModelSpec, needed: int, kept: Iterable[LoadedModel[Any]]) -> None:
        """Raises :class:`ModelUnavailable` when ``needed`` bytes never fit beside what is kept."""
        if self._limit is None:
            return
        taken = _held(resident for resident in kept if resident.spec.name != spec.name)
        if needed + taken > self._limit:
            room = max(0, self._limit - taken) / GIB
            takes = f"it takes {needed / GIB:.2f} GiB"
            reason = f"{takes}, and the models that stay leave {room:.2f} GiB for others"
            raise ModelUnavailable(spec.name, reason)


def least_recently_used(
    residents: Iterable[LoadedModel[Any]], staying: Collection[str | None]
) -> LoadedModel[Any] | None:
    """What goes first of those that no request is on and that need not stay."""
    idle = [r for r in residents if not (r.users or r.spec.name in staying)]
    return min(idle, key=lambda resident: resident.last_used, default=None)


def least_bytes(folder: Path, spec: ModelSpec, *, in_half: bool) -> int:
    """What the weights take in memory at the very least; 0 when their files do not tell.

    ``in_half``: they are kept in half precision, where torch runs the model.
    """
    files = [file for file in folder.rglob("*") if file.suffix in WEIGHT_FILES]
    narrow = 0.5 if in_half and "openvino" not in spec.engines else 1.0
    shrink = min(narrow, SHRINKS[spec.quantization])
    return int(sum(file.stat().st_size for file in files) * shrink)


def _held(residents: Iterable[LoadedModel[Any]]) -> int:
    return sum(resident.host_bytes + resident.gpu_bytes for resident in residents)
