"""The real generation family with a stub engine whose decode step takes a fixed time."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence as Listed

from configs.profile import ModelSpec
from deployments.engine.codec import TextCodec
from deployments.engine.engine_core import EngineCore
from deployments.engine.engine_loader import EngineLoader
from deployments.engine.interface import Engine
from deployments.engine.model_runner import RunnerInfo
from deployments.engine.running import RunningBatch
from deployments.engine.sequence import Sequence
from deployments.generation import Generation
from deployments.models.config import FamilyConfig

STAMP_EVERY = 16
"""Every 16th token, beginning with the first, has the time of its decoding as its id."""

WRAP = 2**30
MAX_STEPS_BEHIND = 10


class StubLoader(EngineLoader):
    """Loads engines whose models are named for their decode step, as ``house/20ms``."""

    def load(self, spec: ModelSpec) -> Engine:
        said = re.search(r"(\d+)ms$", spec.name)
        if said is None:
            raise ValueError(f"{spec.name} does not say how long a step takes")
        codec = TextCodec.from_folder(self._config.folder(spec))
        runner = StubRunner(codec, int(said[1]) / 1000)
        engine = EngineCore(codec, runner, slots=spec.slots or 1, window=spec.window or 1)
        engine.start()
        return engine


class StubGeneration(Generation):
    """Generation as it is served, but for what decodes."""

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config, StubLoader(config))


class StubRunner:
    """Decodes one token a step for every running sequence: the words of its vocabulary in turn.

    Steps begin ``step_s`` apart, or one right after the other where delivering the tokens takes
    longer; up to ``MAX_STEPS_BEHIND`` late steps are caught up.
    """

    info = RunnerInfo("cpu")

    def __init__(self, codec: TextCodec, step_s: float) -> None:
        self._step_s = step_s
        self._due_s = 0.0
        self._words = sorted(set(range(codec.vocab_size)) - codec.special_ids)

    def fits(self, sequences: Listed[Sequence]) -> bool:
        return True

    def admit(self, sequence: Sequence) -> None: ...

    def free(self, sequence: Sequence) -> None: ...

    def step(self, batch: RunningBatch) -> None:
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        self._due_s = (
            max(self._due_s, time.monotonic() - MAX_STEPS_BEHIND * self._step_s) + self._step_s
        )
        for sequence in batch.sequences:
            if not sequence.cancelled:
                batch.append(sequence, self._next(sequence))

    def kv_usage(self, running: Listed[Sequence]) -> None: ...

    def prefix_counts(self) -> None: ...

    def memory_bytes(self) -> None: ...

    def failure(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...

    def _next(self, sequence: Sequence) -> int:
        position = len(sequence.generated)
        if position % STAMP_EVERY == 0:
            return stamp()
        return self._words[position % len(self._words)]


def stamp() -> int:
    """Microseconds of the machine's monotonic clock, above every token id and below 2**31."""
    return WRAP + time.monotonic_ns() // 1000 % WRAP


def age_s(stamped: int, now: int) -> float:
    """Seconds between two stamps, the later one second."""
    return ((now - stamped) % WRAP) / 1e6
