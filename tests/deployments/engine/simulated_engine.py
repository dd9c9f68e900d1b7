"""An engine without a model, which decodes by turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Listed

from deployments.engine.codec import TextCodec
from deployments.engine.scheduler import Scheduler
from deployments.engine.sequence import Sequence
from deployments.models.fair_shares import NOBODY, Owner
from deployments.seam.generation import Sampling


class SimulatedEngine:
    """A scheduler, and an engine that decodes a token of every running sequence a step."""

    def __init__(
        self,
        codec: TextCodec,
        slots: int,
        memory: int | None = None,
        *,
        row_s: float = 0.0,
        prefill_s: float = 0.0,
    ) -> None:
        """A step takes 10 ms, and ``row_s`` more for each running sequence, and ``prefill_s`` more
        for each that begins in it."""
        self.codec = codec
        self.memory = memory
        self.row_s = row_s
        self.prefill_s = prefill_s
        self.now = 0.0
        self.scheduler = Scheduler(slots, self.fits, lambda: self.now)
        self.preempted: list[Sequence] = []

    def fits(self, sequences: Listed[Sequence]) -> bool:
        return self.memory is None or sum(map(self.size, sequences)) <= self.memory

    def size(self, sequence: Sequence) -> int:
        return len(sequence.prompt_ids) + len(sequence.generated) + 1

    def submit(
        self,
        request: str,
        choices: int = 1,
        *,
        new: int = 10_000,
        prompt: int = 1,
        owner: Owner = NOBODY,
    ) -> None:
        for choice in range(choices):
            sequence = Sequence(
                codec=self.codec,
                prompt_ids=[1] * prompt,
                sampling=Sampling(),
                max_new_tokens=new,
                on_token=lambda token: None,
                on_failure=lambda problem: None,
                choice=choice,
                request_id=request,
                owner=owner,
            )
            self.scheduler.add(sequence)

    def schedule(self) -> None:
        self.admit()
        for _ in range(100):
            preempted = self.scheduler.preempt()
            if not preempted:
                return
            self.preempted += preempted
            self.admit()
        raise AssertionError("sequences preempt each other for ever")

    def admit(self) -> None:
        while self.scheduler.admit() is not None:
            pass

    def step(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.schedule()
            rows = len(self.scheduler.running)
            begun = sum(not sequence.generated for sequence in self.scheduler.running)
            for sequence in list(self.scheduler.running):
                self.scheduler.count(sequence, 1)
                if sequence.append(5):
                    self.scheduler.remove(sequence)
            seconds = 0.01 + self.row_s * rows + self.prefill_s * begun
            self.now += seconds
            self.scheduler.stepped(rows, seconds)
        self.schedule()

    @property
    def slots(self) -> dict[str, int]:
        """How many slots each request has."""
        return dict(Counter(sequence.request_id for sequence in self.scheduler.running))
