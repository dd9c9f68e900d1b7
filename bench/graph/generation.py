"""The real generation family over an engine whose decode step takes a set time."""

from __future__ import annotations

import re
import time

from configs.profile import ModelSpec
from deployments.engine.codec import TextCodec
from deployments.engine.interface import Engine
from deployments.engine.sequence import Sequence
from deployments.engine.step_loop import SteppingEngine
from deployments.generation import Generation

STAMP_EVERY = 16
"""Every so many tokens, from the first on, a token's id is the time at which it was decoded."""

WRAP = 2**30
BEHIND = 10


class StubGeneration(Generation):
    """Generation as it is served, but for what decodes."""

    def _load(self, spec: ModelSpec) -> Engine:
        said = re.search(r"(\d+)ms$", spec.name)
        if said is None:
            raise ValueError(f"{spec.name} does not say how long a step takes")
        codec = TextCodec.from_folder(self._config.folder(spec))
        return StubEngine(codec, spec.slots or 1, spec.window or 1, int(said[1]) / 1000)


class StubEngine(SteppingEngine):
    """One token a step for every active sequence, from the engine's own thread.

    Words of its vocabulary in turn. Steps begin ``step_s`` apart, or one right after the other
    where handing the tokens over takes longer; up to ``BEHIND`` steps that came late are made up
    for.
    """

    def __init__(self, codec: TextCodec, slots: int, window: int, step_s: float) -> None:
        super().__init__(codec, slots=slots, window=window)
        self._step_s = step_s
        self._due_s = 0.0
        self._words = sorted(set(range(codec.vocab_size)) - codec.special_ids)
        self._start()

    def _enter(self, sequence: Sequence) -> None: ...

    def _leave(self, sequence: Sequence) -> None: ...

    def _release(self) -> None: ...

    def _step(self) -> None:
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        self._due_s = max(self._due_s, time.monotonic() - BEHIND * self._step_s) + self._step_s
        for sequence in [*self._running]:
            if not sequence.cancelled:
                self._hand_over(sequence, self._next(sequence))

    def _next(self, sequence: Sequence) -> int:
        position = len(sequence.generated)
        if position % STAMP_EVERY == 0:
            return stamp()
        return self._words[position % len(self._words)]


def stamp() -> int:
    """Microseconds of the machine's one monotonic clock, above every vocabulary, below 2**31."""
    return WRAP + time.monotonic_ns() // 1000 % WRAP


def age_s(stamped: int, now: int) -> float:
    """Seconds between two stamps, the later one second."""
    return ((now - stamped) % WRAP) / 1e6
