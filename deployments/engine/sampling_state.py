"""What the sampler keeps of one running sequence."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from deployments.engine.penalties import SeenTokens
from deployments.engine.token_masks import early_ends
from deployments.engine.uniform import UniformNumbers

if TYPE_CHECKING:
    from deployments.engine.sequence import Sequence


class Method(IntEnum):
    """How the next token of a sequence is chosen, in ascending order of the work it takes."""

    ARGMAX = 0
    """Of the model's logits as they are."""

    GREEDY = 1
    """The argmax after penalties, biases and masks."""

    FULL = 2
    """Sampled from the whole distribution."""

    TRUNCATED = 3
    """Sampled from what top-k, top-p, min-p and typical sampling leave."""


class SamplingState:
    """The tokens and random numbers of one sequence, from when it is admitted on."""

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.sampling = sampling = sequence.sampling
        self._random = None if sampling.greedy else UniformNumbers(sequence.seed)
        self._seen: SeenTokens | None = None
        if sampling.repetition_penalty != 1.0:
            self._seen = SeenTokens(sequence.prompt_ids)
        elif sampling.frequency_penalty or sampling.presence_penalty:
            self._seen = SeenTokens()

    @property
    def changes_logits(self) -> bool:
        """Whether penalties, biases or masks come before the choice of the next token."""
        if self._seen is not None or self.sampling.logit_bias:
            return True
        return self.sequence.constraint is not None or bool(early_ends(self.sequence))

    @property
    def method(self) -> Method:
        sampling = self.sampling
        if sampling.greedy:
            return Method.GREEDY if self.changes_logits else Method.ARGMAX
        return Method.TRUNCATED if sampling.truncated else Method.FULL

    @property
    def seen(self) -> SeenTokens | None:
        """The tokens that have a penalty, with the latest; ``None`` without penalties."""
        if self._seen is not None:
            self._seen.update(self.sequence.generated)
        return self._seen

    @property
    def uniform(self) -> float:
        """The random number of the next token; 0 where none is needed."""
        return 0.0 if self._random is None else self._random.at(len(self.sequence.generated))
