"""Encoders as OpenVINO takes them, and how they fare there beside torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.engines import Engine
from configs.weights.shelf import Facts, read_record

FACTS_FILE = "export.json"
"""What the conversion found out; it becomes the part ``export`` of the folder's record."""

Milliseconds = Mapping[str, float]
"""Of one forward, by how many texts are in it."""


@dataclass(frozen=True, slots=True)
class Export:
    """An encoder's ``folder`` for OpenVINO, or why there is none.

    ``faster`` is the engine that took less time on this processor, where both were measured.
    """

    folder: Path | None
    refusal: str | None = None
    faster: Engine = "torch"
    milliseconds: Mapping[str, Milliseconds] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Export:
        record = read_record(folder) or {}
        facts: dict[str, Any] = record["export"]
        if (refusal := facts.get("refusal")) is not None:
            return cls(None, str(refusal))
        return cls(folder, None, facts["faster"], facts["milliseconds"])


def absorbed(folder: Path) -> Facts:
    """What the conversion wrote for the record, which takes its place."""
    file = folder / FACTS_FILE
    facts: Facts = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return facts
