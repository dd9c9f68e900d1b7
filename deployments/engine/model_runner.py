"""The ``ModelRunner`` protocol: a loaded model and its KV cache, driven step by step."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import Protocol

from deployments.engine.prefix_counts import PrefixCounts
from deployments.engine.running import RunningBatch
from deployments.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """Where a model runner computes, and what follows from it.

    ``device`` is as torch names devices. ``process_id`` is the process of its own, if it has one.
    With ``computes_in_thread`` a step computes on this process's CPU, so that event loops must go
    first. With ``abortable`` :meth:`ModelRunner.abort` ends a step that does not return.
    ``kv_cache_bytes`` is how much the KV cache may grow from now on: 0 where loading has allocated
    all of it, ``None`` where it is what the profile says. ``kv_tokens`` is how many tokens fit it,
    ``None`` where it has no fixed size.
    """

    device: str
    process_id: int | None = None
    computes_in_thread: bool = False
    abortable: bool = False
    kv_cache_bytes: int | None = None
    kv_tokens: int | None = None


class ModelRunner(Protocol):
    """A loaded model that advances the running sequences of an engine.

    ``admit``, ``free``, ``step`` and ``close`` are called on the engine's thread, the others on
    any. An exception from ``step`` ends the engine, unless it was raised inside
    :meth:`RunningBatch.guard`.
    """

    @property
    def info(self) -> RunnerInfo:
        """Where and how it computes; it does not change."""
        ...

    def fits(self, sequences: Listed[Sequence]) -> bool:
        """Whether the KV cache can hold these sequences together, each with its next token."""
        ...

    def admit(self, sequence: Sequence) -> None:
        """Prepare a sequence to run: a new one, or a preempted one that resumes behind what it has
        generated. If this raises, only the sequence fails."""
        ...

    def free(self, sequence: Sequence) -> None:
        """Forget a sequence that is finished or preempted, even if admitting it had failed."""
        ...

    def step(self, batch: RunningBatch) -> None:
        """One prefill chunk or decode step, giving tokens to :meth:`RunningBatch.append`.

        The batch may be empty, when its last sequence was just freed.
        """
        ...

    def kv_usage(self, running: Listed[Sequence]) -> float | None:
        """The used fraction of the KV cache, ``None`` where it has no fixed size."""
        ...

    def prefix_counts(self) -> PrefixCounts | None:
        """How often prompts were found in the KV cache, ``None`` where that is not known."""
        ...

    def memory_bytes(self) -> int | None:
        """The model's memory, ``None`` where it is unknown."""
        ...

    def failure(self) -> str | None:
        """Why it cannot step any more, between two steps; ``None`` if it can."""
        ...

    def abort(self) -> None:
        """End a step that does not return, where that is possible. Called from another thread."""
        ...

    def close(self) -> None:
        """Free the model; the last call on the engine's thread."""
        ...
