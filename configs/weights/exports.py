"""Encoders as OpenVINO takes them, and how they fare there beside torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.engines import EngineName
from configs.weights.cache import WeightsRecord, read_record

FACTS_FILE = "export.json"
"""What the conversion found out; it becomes the part ``export`` of the folder's record."""

Milliseconds = Mapping[str, float]
"""Of one forward, by how many texts are in it."""


@dataclass(frozen=True, slots=True)
class Export:
    """An encoder's ``folder`` for OpenVINO, or why there is none.

    ``faster`` is the engine that took less time on this processor, where both were measured;
    ``faster_in_float32`` where float32 is not what the processor is fastest at.
    """

    folder: Path | None
    refusal: str | None = None
    faster: EngineName = "torch"
    milliseconds: Mapping[str, Milliseconds] = field(default_factory=dict)
    faster_in_float32: EngineName | None = None

    @classmethod
    def read(cls, folder: Path) -> Export:
        record = read_record(folder) or {}
        facts: dict[str, Any] = record["export"]
        if (refusal := facts.get("refusal")) is not None:
            return cls(None, str(refusal))
        exact = facts.get("float32", {}).get("faster")
        return cls(folder, None, facts["faster"], facts["milliseconds"], exact)

    def faster_in(self, dtype: str) -> EngineName:
        """The faster engine in the ``dtype`` of a profile, ``auto`` or ``float32``."""
        exact = self.faster_in_float32 if dtype == "float32" else None
        return exact or self.faster


def absorbed(folder: Path) -> WeightsRecord:
    """What the conversion wrote for the record, which takes its place."""
    file = folder / FACTS_FILE
    facts: WeightsRecord = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return facts
