"""Why an item got no answer: what travels in the place of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ProblemKind: TypeAlias = Literal[
    "validation", "not_found", "overloaded", "unavailable", "timeout", "internal"
]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one item got no answer. ``message`` is shown to the client: it names no internals."""

    kind: ProblemKind
    message: str
    field: str | None = None
