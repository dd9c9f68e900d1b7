"""The messages between the OpenVINO runner and its process: one command and one result per step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Launch:
    """First message: the model to load, and its limits.

    ``properties`` go to the OpenVINO plugin. The KV cache has ``kv_blocks`` blocks of
    ``KV_BLOCK_TOKENS`` tokens; a step computes up to ``max_batched_tokens`` tokens. Without
    ``prefix_cache`` every prompt is prefilled from its start.
    """

    model: str
    properties: Mapping[str, Any]
    slots: int
    kv_blocks: int
    max_batched_tokens: int
    prefix_cache: bool = True


@dataclass(frozen=True, slots=True)
class PipelineReady:
    """Answer to ``Launch``: the model is loaded."""


@dataclass(frozen=True, slots=True)
class RunAdmission:
    """A run to start: ``settings`` are fields of ``openvino_genai.GenerationConfig``."""

    run_id: int
    prompt_ids: tuple[int, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepCommand:
    """Start these runs, cancel the runs with these ids, then step once."""

    admissions: tuple[RunAdmission, ...] = ()
    cancels: tuple[int, ...] = ()


@dataclass(slots=True)
class StepResult:
    """Answer to ``StepCommand``, by the ids of runs.

    ``tokens`` are (id, log-probability) pairs. ``evicted`` runs lost their KV cache blocks to
    others, ``rejected`` ones failed, with the reason. ``kv_usage`` is a fraction.
    """

    tokens: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    evicted: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    kv_usage: float = 0.0


@dataclass(frozen=True, slots=True)
class PipelineFailure:
    """Last message: the process cannot continue, and why."""

    reason: str
