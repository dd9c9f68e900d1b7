"""Reads the weights of a CTranslate2 model (``model.bin``), whose layout its converters document.

https://github.com/OpenNMT/CTranslate2/blob/master/python/ctranslate2/specs/model_spec.py
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from deployments.conversion.errors import ConversionError

DTYPES: dict[int, Any] = {
    0: np.float32,
    1: np.int8,
    2: np.int16,
    3: np.int32,
    4: np.float16,
}
MAX_VARIABLES = 100_000


def read_variables(file: Path, spec: str) -> Mapping[str, npt.NDArray[Any]]:
    """Every tensor by its name. Raises :class:`ConversionError` for another kind of model."""
    with file.open("rb") as stream:
        try:
            return _variables(stream, spec)
        except (struct.error, KeyError, ValueError, UnicodeDecodeError) as error:
            raise ConversionError(f"{file.name} is not a model of CTranslate2: {error}") from error


def _variables(stream: BinaryIO, spec: str) -> Mapping[str, npt.NDArray[Any]]:
    _version, name, _revision = _number(stream, "<I"), _text(stream), _number(stream, "<I")
    if name != spec:
        raise ValueError(f"it is a {name[:60]!r}, not a {spec}")
    count = _number(stream, "<I")
    if count > MAX_VARIABLES:
        raise ValueError(f"{count} tensors")
    found: dict[str, npt.NDArray[Any]] = {}
    for _ in range(count):
        name = _text(stream)
        shape = [_number(stream, "<I") for _ in range(_number(stream, "<B"))]
        dtype = DTYPES[_number(stream, "<B")]
        raw = stream.read(_number(stream, "<I"))
        found[name] = np.frombuffer(raw, dtype).reshape(shape)
    return found


def _number(stream: BinaryIO, layout: str) -> int:
    (number,) = struct.unpack(layout, stream.read(struct.calcsize(layout)))
    return int(number)


def _text(stream: BinaryIO) -> str:
    return stream.read(_number(stream, "<H")).rstrip(b"\0").decode()
