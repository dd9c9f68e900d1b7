"""Reads the header of a GGUF file within bounds: its architecture, context length, tokenizer.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from configs.detection.errors import ModelRefusedError

MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_KEYS = 4096
MAX_STRING = 1024 * 1024
MAX_ITEMS = 2_000_000
"""Bounds of a header; the largest vocabularies have a few hundred thousand items."""

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_NUMBERS |= {12: "d"}
_STRING, _ARRAY = 8, 9

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The single values of a header, by their keys; lists are left out."""

    values: dict[str, Scalar]

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    @property
    def context_length(self) -> int | None:
        value = self.values.get(f"{self.architecture}.context_length")
        return value if isinstance(value, int) else None

    @property
    def pre_tokenizer(self) -> str:
        return str(self.values.get("tokenizer.ggml.pre", ""))


def read_gguf_header(path: Path) -> GgufHeader:
    """Raises :class:`ModelRefusedError` for a header that is damaged or too large."""
    try:
        with path.open("rb") as file:
            return _HeaderReader(file).header()
    except (OSError, struct.error, EOFError):
        raise ModelRefusedError(f"{path.name} is not GGUF, or damaged") from None


class _HeaderReader:
    """Reads values one after the other, and no more than ``MAX_HEADER_BYTES`` of them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MAX_HEADER_BYTES

    def header(self) -> GgufHeader:
        if self._read(4) != b"GGUF" or self._number("I") not in (2, 3):
            raise EOFError
        self._number("Q")  # tensors
        keys = int(self._number("Q"))
        if keys > MAX_KEYS:
            raise EOFError
        values: dict[str, Scalar] = {}
        for _ in range(keys):
            name = self._string()
            kind = int(self._number("I"))
            if kind == _ARRAY:
                self._skip_array()
            else:
                values[name] = self._scalar(kind)
        return GgufHeader(values)

    def _scalar(self, kind: int) -> Scalar:
        if kind == _STRING:
            return self._string()
        if kind not in _NUMBERS:
            raise EOFError
        return self._number(_NUMBERS[kind])

    def _skip_array(self) -> None:
        kind, items = int(self._number("I")), int(self._number("Q"))
        if items > MAX_ITEMS or (kind != _STRING and kind not in _NUMBERS):
            raise EOFError
        if kind == _STRING:
            for _ in range(items):
                self._skip(int(self._number("Q")))
        else:
            self._skip(items * struct.calcsize(_NUMBERS[kind]))

    def _string(self) -> str:
        size = int(self._number("Q"))
        if size > MAX_STRING:
            raise EOFError
        return self._read(size).decode(errors="replace")

    def _number(self, code: str) -> int | float | bool:
        value: int | float | bool = struct.unpack(f"<{code}", self._read(struct.calcsize(code)))[0]
        return value

    def _skip(self, size: int) -> None:
        self._spend(size)
        self._file.seek(size, 1)

    def _read(self, size: int) -> bytes:
        self._spend(size)
        found = self._file.read(size)
        if len(found) < size:
            raise EOFError
        return found

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise EOFError
