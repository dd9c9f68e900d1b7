"""The timing of one call, for a request that asked for its timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Stage(NamedTuple):
    """A part of a call. ``began`` is in seconds from the call's arrival at the replica.

    ``items`` shared it, which belonged to ``requests`` requests; 0 where nothing is shared.
    """

    name: str
    began: float
    seconds: float
    items: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class CallTiming:
    """The stages of a call that took ``seconds`` in its replica. ``left_out`` more had no room."""

    seconds: float
    stages: tuple[Stage, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class TimedResult:
    """What the method answered, and how long its stages took."""

    result: Any
    timing: CallTiming
