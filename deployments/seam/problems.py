"""A failure that concerns one item, which takes the place of that item's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ProblemKind: TypeAlias = Literal[
    "validation",
    "context_length",
    "not_found",
    "overloaded",
    "unavailable",
    "timeout",
    "internal",
]
"""``context_length`` is a validation problem: the request does not fit the model's window."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one item has no result. Clients see ``message``, so it names no internals; ``field`` is
    the field of the request at fault."""

    kind: ProblemKind
    message: str
    field: str | None = None


def over_window(window: int) -> str:
    """The beginning of the message of a ``context_length`` problem.

    Clients of OpenAI's API look for these words to shorten a chat and try again.
    """
    return f"This model's maximum context length is {window} tokens"
