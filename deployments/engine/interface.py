"""The ``Engine`` protocol: submit and cancel sequences, whose tokens come by callbacks; close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from deployments.engine.codec import TextCodec
from deployments.engine.prefix_counts import PrefixCounts
from deployments.engine.sequence import Sequence
from deployments.seam.problems import Problem

if TYPE_CHECKING:
    from deployments.engine.grammar.compiler import GrammarCompiler

STOPPED = Problem("unavailable", "The model stopped; please try again.")
"""The failure of every sequence that was unfinished when its engine ended."""


class EngineStopped(RuntimeError):
    """The engine takes no more sequences: it was closed, it died, or it hangs."""


class EngineHangs(EngineStopped):
    """A step does not return and cannot be aborted: only the end of this process helps."""


class EngineNotLoaded(RuntimeError):
    """The model could not be loaded from the folder and settings that were given."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """The load of an engine.

    ``running`` sequences have one of the ``slots``, ``waiting`` ones do not. ``kv_usage`` is the
    used fraction of the KV cache, ``None`` where it has no fixed size. ``tokens`` counts the tokens
    decoded since the start. ``memory_bytes`` is the model's memory on the host or device, ``None``
    where it is unknown. ``kv_cache_bytes`` is what the KV cache may take beside what loading the
    model took, ``None`` where that is what the profile says. ``held_tokens`` are those of all
    sequences, running or waiting, and ``kv_tokens`` how many fit the KV cache, ``None`` where it
    has no fixed size. ``starved_by`` is what the sequences lacked that the last step left waiting.
    ``prefixes`` counts the prompts that were found in the KV cache, ``None`` where that is unknown.
    """

    slots: int
    running: int
    waiting: int
    kv_usage: float | None
    tokens: int
    memory_bytes: int | None = None
    kv_cache_bytes: int | None = None
    held_tokens: int = 0
    kv_tokens: int | None = None
    starved_by: Literal["slots", "kv_cache"] | None = None
    prefixes: PrefixCounts | None = None


class Engine(Protocol):
    """A loaded model that decodes many sequences at a time, on a thread of its own.

    Life of a sequence: ``submit`` queues it; the engine's thread admits it to a slot, prefills its
    prompt and decodes a token a step, calling :meth:`Sequence.append` for each. That delivers the
    token to the sequence's callbacks and checks stop strings, length and grammar; once the sequence
    is ``finished`` its slot is free. A running sequence may be preempted (it keeps what it has
    generated) and is resumed later; its callbacks do not notice.

    Threads: every method here may be called from any thread and, except ``close``, returns at
    once. Callbacks run on the engine's thread and must not block.

    Guarantees: the callbacks of a sequence get each of its tokens once, in order, and at most one
    failure, which is the last call. What goes wrong with one sequence (its callback raises, its
    grammar cannot be followed, its forward fails) fails that sequence alone. When the engine ends,
    every unfinished sequence fails with :data:`STOPPED`.

    A new engine need not implement this: give a :class:`~deployments.engine.model_runner.
    ModelRunner` to :class:`~deployments.engine.engine_core.EngineCore`.
    """

    @property
    def codec(self) -> TextCodec:
        """The model's tokenizer and chat template."""
        ...

    @property
    def window(self) -> int:
        """The maximum tokens of one sequence, prompt and new ones together (``max_model_len``)."""
        ...

    @property
    def grammars(self) -> GrammarCompiler:
        """Compiles grammars for this model's vocabulary."""
        ...

    @property
    def process_id(self) -> int | None:
        """The id of the process that runs only this model, if there is one.

        Its memory counts as the model's.
        """
        ...

    @property
    def device(self) -> str:
        """The device that decodes, as torch names it: ``cpu``, ``cuda:0``."""
        ...

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence.

        Raises ``EngineStopped`` when the engine has ended, and ``ValueError`` when prompt and new
        tokens do not fit the window.
        """
        ...

    def cancel(self, sequence: Sequence) -> None:
        """Cancel a waiting or running sequence; its slot is free within one step.

        No failure follows, and at most the token that is being delivered already. Cancelling a
        finished or unknown sequence does nothing.
        """
        ...

    def load(self) -> EngineLoad:
        """The load of the engine now. May be called after it has ended."""
        ...

    def check(self) -> None:
        """Raise ``EngineStopped`` with the reason when the engine has ended or hangs.

        It is ``EngineHangs`` when closing would not help either.
        """
        ...

    def close(self) -> None:
        """End the thread and free the model; waits for the running step. Idempotent."""
        ...
