"""What the engine and its OpenVINO process tell each other, once a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Launch:
    """What to load and with which bounds.

    ``properties`` go to the OpenVINO plugin. The KV cache has ``kv_blocks`` blocks of
    ``KV_BLOCK_TOKENS`` tokens; a step computes up to ``max_batched_tokens`` tokens.
    """

    model: str
    properties: Mapping[str, Any]
    slots: int
    kv_blocks: int
    max_batched_tokens: int


@dataclass(frozen=True, slots=True)
class Admission:
    """One sequence to start: ``settings`` are fields of ``openvino_genai.GenerationConfig``."""

    number: int
    prompt_ids: tuple[int, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepCommand:
    """Start these, drop those, then step."""

    admissions: tuple[Admission, ...] = ()
    drops: tuple[int, ...] = ()


@dataclass(slots=True)
class SequenceUpdate:
    """What a step gave, by a sequence's number.

    ``tokens`` are (id, log-probability) pairs. ``ousted`` sequences lost their place for want of
    KV memory, ``refused`` ones were never accepted. ``kv_usage`` is a fraction.
    """

    tokens: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    ousted: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    kv_usage: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineFailure:
    """The process cannot go on, and says why before it ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded."""


KV_BLOCK_TOKENS = 32
