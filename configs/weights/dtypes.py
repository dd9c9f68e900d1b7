"""The dtype in which a text generator on OpenVINO computes with ``dtype: auto``, as measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.weights.cache import read_record

DTYPE_RECORD_FILE = "dtypes.json"
"""The file in which the measurement leaves its figures.

Its content becomes the key ``dtypes`` of the folder's record."""


@dataclass(frozen=True, slots=True)
class DtypeFigures:
    """What was measured of one dtype.

    ``tokens_per_s`` are of short prompts that were decoded together, ``perplexity`` is of a fixed
    text. Of ``compared_texts`` greedy texts of ``compared_tokens`` tokens, ``same_texts`` were the
    same alone and together; none are compared in float32. ``refusal`` says why the dtype may not
    be chosen.
    """

    tokens_per_s: float
    perplexity: float
    compared_tokens: int
    compared_texts: int = 0
    same_texts: int = 0
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class DtypeChoice:
    """The ``dtype`` that a model computes in, and what was measured of each candidate, if any."""

    dtype: str
    figures: Mapping[str, DtypeFigures] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> DtypeChoice:
        record: dict[str, Any] = (read_record(folder) or {})["dtypes"]
        figures = {name: DtypeFigures(**each) for name, each in record["figures"].items()}
        return cls(record["chosen"], figures)
