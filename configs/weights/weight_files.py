"""Which of a checkpoint's files are its weights, where it has them in several formats."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

WeightFormat: TypeAlias = Literal["safetensors", "pickle", "gguf"]

OTHER_EXPORTS = ("onnx/*", "openvino/*", "original/*", "consolidated*", "coreml/*")
"""Files with the same weights for other libraries, as repositories name them."""

PICKLE = "pytorch_model*.bin"


def weight_bytes(sizes: Mapping[str, int], read: WeightFormat) -> int:
    """Bytes of the weights that are in the format ``read``; ``sizes`` has the bytes of all files.

    Of a checkpoint, in safetensors or pickles, each folder has a module of its own: the pickles of
    a folder count where it has no safetensors.
    """
    sizes = _without_exports(sizes)
    if read == "gguf":
        return _sum_of(sizes, "*.gguf")
    modules: dict[PurePosixPath, dict[str, int]] = {}
    for name, size in sizes.items():
        path = PurePosixPath(name)
        modules.setdefault(path.parent, {})[path.name] = size
    return sum(_sum_of(each, "*.safetensors") or _sum_of(each, PICKLE) for each in modules.values())


def min_weight_bytes(sizes: Mapping[str, int]) -> int:
    """The fewest bytes of weights that loading may read; ``sizes`` as for :func:`weight_bytes`.

    Of safetensors and GGUF, which may be the same weights, the smaller: which of them an engine
    reads is its own choice. Other files count only where there is neither.
    """
    sizes = _without_exports(sizes)
    found = [_sum_of(sizes, pattern) for pattern in ("*.safetensors", "*.gguf")]
    return min(filter(None, found), default=_sum_of(sizes, "*.bin"))


def _without_exports(sizes: Mapping[str, int]) -> dict[str, int]:
    return {
        name: size
        for name, size in sizes.items()
        if not any(fnmatchcase(name, pattern) for pattern in OTHER_EXPORTS)
    }


def _sum_of(sizes: Mapping[str, int], pattern: str) -> int:
    return sum(size for name, size in sizes.items() if fnmatchcase(name, pattern))
