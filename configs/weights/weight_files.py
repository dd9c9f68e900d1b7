"""Which of a checkpoint's files are its weights, where it has them in several formats."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

OTHER_EXPORTS = ("onnx/*", "openvino/*", "original/*", "consolidated*", "coreml/*")
"""Files with the same weights for other libraries, as repositories name them."""

FORMATS = (".safetensors", ".gguf", ".bin")


def weight_bytes(sizes: Mapping[str, int]) -> int:
    """Bytes of the weights that loading reads; ``sizes`` has the bytes of all files by name.

    Of safetensors and GGUF, which may be the same weights, the smaller: which of them an engine
    reads is its own choice. Pickles only where there is neither.
    """
    read = {
        name: size
        for name, size in sizes.items()
        if not any(fnmatchcase(name, pattern) for pattern in OTHER_EXPORTS)
    }
    safetensors, gguf, pickles = (
        sum(size for name, size in read.items() if name.endswith(suffix)) for suffix in FORMATS
    )
    return min((found for found in (safetensors, gguf) if found), default=pickles)
