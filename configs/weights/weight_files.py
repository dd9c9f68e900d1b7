"""Which of a checkpoint's files are its weights, where it has them in several formats."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

WeightFormat: TypeAlias = Literal["safetensors", "pickle", "gguf"]

OTHER_EXPORTS = ("onnx/*", "openvino/*", "original/*", "consolidated*", "coreml/*")
"""Files with the same weights for other libraries, as repositories name them."""

PICKLE = "pytorch_model*.bin"

PIPELINE_INDEX = "model_index.json"
"""The file by which a checkpoint is a pipeline of diffusers, with each part in a folder."""

HALF = "fp16"
"""The variant of a part's weights that is loaded where there are no others."""


def weight_bytes(sizes: Mapping[str, int], read: WeightFormat) -> int:
    """Bytes of the weights that are in the format ``read``; ``sizes`` has the bytes of all files.

    Of a checkpoint, in safetensors or pickles, each folder has a module of its own: the pickles of
    a folder count where it has no safetensors.
    """
    sizes = _without_exports(sizes)
    if read == "gguf":
        return _sum_of(sizes, "*.gguf")
    if PIPELINE_INDEX in sizes:
        return sum(sizes[name] for name in pipeline_weights(sizes))
    modules: dict[PurePosixPath, dict[str, int]] = {}
    for name, size in sizes.items():
        path = PurePosixPath(name)
        modules.setdefault(path.parent, {})[path.name] = size
    return sum(_sum_of(each, "*.safetensors") or _sum_of(each, PICKLE) for each in modules.values())


def pipeline_weights(names: Collection[str]) -> set[str]:
    """Which of the safetensors of a pipeline of diffusers are loaded.

    Of each part, in a folder of its own, the ones without a variant in their name, else those in
    half precision. What lies beside the folders is the whole pipeline once more, in one file.
    """
    parts: dict[str, list[str]] = {}
    for name in names:
        home, _, file = name.rpartition("/")
        if home and "/" not in home and file.endswith(".safetensors"):
            parts.setdefault(home, []).append(name)
    loaded = set[str]()
    for files in parts.values():
        plain = [name for name in files if not _variant_of(name)]
        loaded.update(plain or (name for name in files if _variant_of(name).startswith(HALF)))
    return loaded


def _variant_of(name: str) -> str:
    """The part of a file's name between its first and its last dot."""
    return name.rpartition("/")[2].removesuffix(".safetensors").partition(".")[2]


def min_weight_bytes(sizes: Mapping[str, int]) -> int:
    """The fewest bytes of weights that loading may read; ``sizes`` as for :func:`weight_bytes`.

    Of safetensors and GGUF, which may be the same weights, the smaller: which of them an engine
    reads is its own choice. Other files count only where there is neither. A pipeline is read in
    safetensors alone.
    """
    if PIPELINE_INDEX in sizes:
        return weight_bytes(sizes, "safetensors")
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
