"""Where a sequence is on its way through the OpenVINO pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.engine.sequence import Sequence


@dataclass(slots=True, eq=False)
class SequenceRun:
    """A sequence on its way through the pipeline.

    The pipeline's prompt ends with the first ``start`` tokens that the sequence has generated, and
    of its first tokens ``repeats`` were delivered before. ``read`` tokens of the prompt are in the
    cache; while ``reading``, more of it is on the way. ``cost`` is what the pipeline has to read
    before the first token, 0 from then on.
    """

    number: int
    sequence: Sequence
    start: int = 0
    repeats: int = 0
    returns: int = 0
    read: int = 0
    reading: bool = False
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """How many tokens were in the prefix cache when ``at`` tokens had been computed in all."""

    tokens: int
    at: int
