"""The messages between an engine's client and the process of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from deployments.engine.interface import EngineLoad
from deployments.engine.sequence import Sequence
from deployments.engine.settings import EngineSettings
from deployments.models.fair_shares import Owner
from deployments.seam.generation import Grammar, Sampling, Token, ToolCallMarkers
from deployments.seam.problems import Problem


@dataclass(frozen=True, slots=True)
class EngineLaunch:
    """First message: the model to load in the torch engine."""

    folder: str
    settings: EngineSettings


@dataclass(frozen=True, slots=True)
class EngineReady:
    """Answer to :class:`EngineLaunch`: the engine takes sequences."""

    window: int
    device: str
    load: EngineLoad


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """Answer to :class:`EngineLaunch`: why the model cannot be loaded. The process ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A sequence to decode. ``number`` identifies it in later outputs.

    ``resume_ids`` and ``inputs`` are as in :class:`~deployments.engine.sequence.Sequence`.
    """

    number: int
    prompt_ids: tuple[int, ...]
    sampling: Sampling
    max_new_tokens: int
    min_new_tokens: int
    stop: tuple[str, ...]
    stop_after_tool_call: ToolCallMarkers | None
    eos_ids: frozenset[int]
    choice: int
    request_id: str
    owner: Owner
    resume_ids: tuple[int, ...]
    grammar: Grammar | None
    inputs: dict[str, Any]

    @classmethod
    def of(cls, number: int, sequence: Sequence) -> Submission:
        constraint = sequence.constraint
        return cls(
            number=number,
            prompt_ids=sequence.prompt_ids,
            sampling=sequence.sampling,
            max_new_tokens=sequence.max_new_tokens,
            min_new_tokens=sequence.min_new_tokens,
            stop=sequence.stop,
            stop_after_tool_call=sequence.stop_after_tool_call,
            eos_ids=sequence.eos_ids,
            choice=sequence.choice,
            request_id=sequence.request_id,
            owner=sequence.owner,
            resume_ids=tuple(sequence.generated),
            grammar=None if constraint is None else constraint.grammar,
            inputs=dict(sequence.inputs),
        )


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The sequence with this number is not wanted any more."""

    number: int


class Admitted:
    """A sequence got its first slot."""


Outcome: TypeAlias = Admitted | Token | Problem


@dataclass(frozen=True, slots=True)
class EngineOutputs:
    """What happened to sequences, by their numbers and in order, and how the engine is.

    It comes as soon as something happened, and every second while sequences run. ``stopped`` says
    why the engine takes no more sequences; nothing comes after that.
    """

    outcomes: list[tuple[int, Outcome]]
    load: EngineLoad
    stopped: str | None = None
