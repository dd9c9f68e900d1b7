"""What every way to decode offers to the deployment that uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.constraint import GrammarCompiler
from deployments.engine.sequence import Sequence
from deployments.seam.problems import Problem

STOPPED = Problem("unavailable", "The model stopped; please try again.")
"""What is said of every sequence that an engine had when it ended."""


class EngineStopped(RuntimeError):
    """The engine takes no more sequences: it was closed, it died, or it hangs."""


class EngineHangs(EngineStopped):
    """A step does not return and cannot be ended: only the end of this process helps."""


class EngineNotLoaded(RuntimeError):
    """The engine could not be started from the folder and settings it was given."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What an engine holds at a moment.

    ``kv_usage`` is the used fraction of the KV cache, ``None`` where it has no fixed size.
    ``tokens`` counts what was decoded since the start. ``memory_bytes`` is what the model takes in
    the host's or the device's memory, ``None`` where that cannot be told.
    """

    slots: int
    running: int
    waiting: int
    kv_usage: float | None
    tokens: int
    memory_bytes: int | None = None


class Engine(Protocol):
    """A model that decodes many sequences, on a thread of its own.

    Results reach a sequence through its own callbacks, which run on the engine's thread.
    """

    @property
    def codec(self) -> TextCodec: ...

    @property
    def window(self) -> int:
        """The most tokens, prompt and new ones together, that one sequence may have."""
        ...

    @property
    def grammars(self) -> GrammarCompiler:
        """What this engine makes of grammars."""
        ...

    @property
    def process_id(self) -> int | None:
        """The process that decodes, when it is the model's own; its memory is the model's."""
        ...

    @property
    def device(self) -> str:
        """Where it decodes, as torch names devices."""
        ...

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Thread-safe, returns at once.

        Raises ``EngineStopped`` when nothing would ever decode it, and ``ValueError`` when it
        cannot fit into the window.
        """
        ...

    def cancel(self, sequence: Sequence) -> None:
        """Give up a sequence wherever it is; its slot is free within one step. Thread-safe.

        No ``fail`` follows, and at most the token that is being delivered already.
        """
        ...

    def load(self) -> EngineLoad: ...

    def check(self) -> None:
        """Raise ``EngineStopped`` with the reason when the engine died or hangs.

        It is ``EngineHangs`` when the engine cannot be closed either.
        """
        ...

    def close(self) -> None:
        """End the thread and free the model. What was not finished fails as unavailable."""
        ...
