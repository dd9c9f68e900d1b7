"""The result of exporting an encoder to OpenVINO, with the times of OpenVINO and torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.engines import EngineName
from configs.weights.cache import WeightsRecord, read_record

EXPORT_RECORD_FILE = "export.json"
"""The file in which the conversion leaves its times, or why it failed.

Its content becomes the key ``export`` of the folder's record."""

Milliseconds = Mapping[str, float]
"""The time of one forward, by its number of texts."""


@dataclass(frozen=True, slots=True)
class Export:
    """The ``folder`` of an OpenVINO export, or in ``refusal`` the reason why there is none.

    ``faster`` is the faster engine on this processor; ``faster_in_float32`` is set where that was
    measured in bfloat16.
    """

    folder: Path | None
    refusal: str | None = None
    faster: EngineName = "torch"
    milliseconds: Mapping[str, Milliseconds] = field(default_factory=dict)
    faster_in_float32: EngineName | None = None

    @classmethod
    def read(cls, folder: Path) -> Export:
        record: dict[str, Any] = (read_record(folder) or {})["export"]
        if (refusal := record.get("refusal")) is not None:
            return cls(None, str(refusal))
        in_float32 = record.get("float32", {}).get("faster")
        return cls(folder, None, record["faster"], record["milliseconds"], in_float32)

    def faster_in(self, dtype: str) -> EngineName:
        """The faster engine for the ``dtype`` of a profile, ``auto`` or ``float32``."""
        in_float32 = self.faster_in_float32 if dtype == "float32" else None
        return in_float32 or self.faster


def take_record(file: Path) -> WeightsRecord:
    """Read and remove the file in which a conversion left its record."""
    record: WeightsRecord = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return record
