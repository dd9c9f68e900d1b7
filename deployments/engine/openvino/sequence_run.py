"""One run of a sequence through the OpenVINO pipeline: where it starts, what is prefilled."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.engine.sequence import Sequence


@dataclass(slots=True, eq=False)
class SequenceRun:
    """A run, from its admission to its end, eviction or cancel; ``run_id`` names it.

    The run's prompt is the sequence's prompt and the first ``start`` tokens that were generated.
    Of those that it decodes, the first ``replayed`` were delivered before. ``cached`` tokens of its
    prompt are in the KV cache. A ``partial`` run prefills a part of the prompt and ends there.
    ``prefilling`` is how many tokens the pipeline still has to prefill for it, 0 once it decodes.
    ``evictions`` counts how often it lost its blocks since its last new token.
    """

    run_id: int
    sequence: Sequence
    start: int = 0
    replayed: int = 0
    evictions: int = 0
    cached: int = 0
    partial: bool = False
    prefilling: int = 0

    @property
    def uncached(self) -> int:
        """Tokens of its prompt that are not in the KV cache."""
        return len(self.sequence.prompt_ids) + self.start - self.cached
