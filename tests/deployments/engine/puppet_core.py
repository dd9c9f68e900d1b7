"""An engine whose every step the test allows."""

from __future__ import annotations

import threading
from collections.abc import Sequence as Listed

from deployments.engine.codec import TextCodec
from deployments.engine.engine_core import EngineCore
from deployments.engine.model_runner import RunnerInfo
from deployments.engine.running import RunningBatch
from deployments.engine.sequence import Sequence
from tests.deployments.engine.reading import PATIENCE_S, Reader


class PuppetRunner:
    """Decodes "a" for every admitted sequence at each step that is allowed."""

    info = RunnerInfo("cpu")

    def __init__(self, codec: TextCodec) -> None:
        self.allowed = threading.Semaphore(0)
        self.stepping = threading.Event()
        self.closed = threading.Event()
        self.broken = False
        self.not_admitted = -1
        self.admitted: list[Sequence] = []
        self._token = codec.encode("a")[0]

    def fits(self, sequences: Listed[Sequence]) -> bool:
        return True

    def admit(self, sequence: Sequence) -> None:
        if sequence.choice == self.not_admitted:
            raise LookupError("there is no slot for it")
        self.admitted.append(sequence)

    def free(self, sequence: Sequence) -> None:
        if sequence in self.admitted:
            self.admitted.remove(sequence)

    def step(self, batch: RunningBatch) -> None:
        self.stepping.set()
        assert self.allowed.acquire(timeout=PATIENCE_S)
        if self.broken:
            raise ZeroDivisionError("the model fell over")
        for sequence in list(self.admitted):
            batch.append(sequence, self._token)

    def kv_usage(self, running: Listed[Sequence]) -> None:
        return None

    def prefix_counts(self) -> None:
        return None

    def memory_bytes(self) -> None:
        return None

    def failure(self) -> None:
        return None

    def abort(self) -> None: ...

    def close(self) -> None:
        self.closed.set()


class Puppet(EngineCore):
    """An engine, started, whose runner the test holds."""

    def __init__(self, codec: TextCodec, slots: int = 1, hang_after_s: float = 60.0) -> None:
        self.runner = PuppetRunner(codec)
        super().__init__(codec, self.runner, slots=slots, window=100, hang_after_s=hang_after_s)
        self.start()


def reader(engine: Puppet, new: int = 2) -> Reader:
    return Reader(engine, [1, 2, 3], new=new)


def run(engine: Puppet, readers: list[Reader]) -> None:
    """Submit all sequences in this order, and let the engine step until they are finished."""
    for each in readers:
        each.start()
    engine.runner.allowed.release(1000)
    for each in readers:
        each.wait()
