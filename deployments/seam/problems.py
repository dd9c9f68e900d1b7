"""A failure that concerns one item, which takes the place of that item's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ProblemKind: TypeAlias = Literal[
    "validation", "not_found", "overloaded", "unavailable", "timeout", "internal"
]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one item has no result. Clients see ``message``, so it names no internals; ``field`` is
    the field of the request at fault."""

    kind: ProblemKind
    message: str
    field: str | None = None
