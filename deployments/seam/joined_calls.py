"""Calls that travel together: a message to a replica with many requests, a stream of answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class JoinedCalls:
    """Calls of one ``method`` for one ``model``.

    ``requests`` are pickled one by one, so that a bad one fails alone. Their numbers are unique
    among the calls of ``sender``, which is one process of the ingress.
    """

    sender: str
    method: str
    model: str | None
    requests: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class CancelledCalls:
    """Calls of ``sender`` whose callers do not wait any more."""

    sender: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The replica works on as many requests as it may. The call did not start."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """The method raised. ``reason`` is for the log, not for clients."""

    reason: str


CallOutcome: TypeAlias = bytes | CallFailed | NoRoom
"""The pickled result of one call, or why there is none."""

JoinedAnswers: TypeAlias = list[tuple[int, CallOutcome]]
"""The outcomes that are ready at one moment, each with the number of its call."""
