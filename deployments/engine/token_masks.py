"""Token masks: what the grammars of running sequences allow next, filled beside the forward."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Listed
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional

from deployments.engine.grammar.constraint import Constraint, ConstraintError

if TYPE_CHECKING:
    from llguidance import LLExecutor

    from deployments.engine.sequence import Sequence


@dataclass(frozen=True)
class TokenMasks:
    """The masks of some sequences; those in ``errors`` cannot follow their grammar any further."""

    rows: Mapping[Sequence, int] = field(default_factory=dict)
    banned: torch.Tensor = field(default_factory=lambda: torch.empty((0, 0), dtype=torch.bool))
    errors: Mapping[Sequence, ConstraintError] = field(default_factory=dict)

    def apply(self, scores: torch.Tensor, sequences: Listed[Sequence]) -> None:
        """Set ``scores`` of banned tokens to -inf, in place; row i is of ``sequences[i]``.

        Tokens that the tokenizer lacks, which a model may have, are banned too.
        """
        held = [row for row, each in enumerate(sequences) if each in self.rows]
        if not held:
            return
        taken = self.banned[[self.rows[sequences[row]] for row in held]].to(scores.device)
        width, known = scores.shape[-1], taken.shape[-1]
        banned = functional.pad(taken, (0, width - known), value=True)
        if len(held) == len(sequences):
            scores.masked_fill_(banned, float("-inf"))
        else:
            index = torch.tensor(held, device=scores.device)
            scores[index] = scores[index].masked_fill_(banned, float("-inf"))


class PreparedMasks:
    """Masks that other threads may still be filling."""

    def __init__(self, filling: Future[TokenMasks] | None = None) -> None:
        self._filling = filling

    def wait(self) -> TokenMasks:
        """The masks, once they are filled."""
        return TokenMasks() if self._filling is None else self._filling.result()


class HeldSequence(NamedTuple):
    """A sequence with its constraint, and the ends of sequence that it may not choose yet."""

    sequence: Sequence
    constraint: Constraint
    early_ends: frozenset[int]


class MaskFiller:
    """Fills the token masks of sequences with a constraint, on threads of its own.

    ``vocabulary`` is the tokenizer's. llguidance is imported at the first constraint.
    """

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._thread: ThreadPoolExecutor | None = None
        self._executor: LLExecutor | None = None

    def prepare(self, sequences: Listed[Sequence]) -> PreparedMasks:
        """Begin to fill the masks of ``sequences``; returns at once.

        Until they are filled no token may be appended to the sequences.
        """
        held = [
            HeldSequence(each, each.constraint, early_ends(each))
            for each in sequences
            if each.constraint is not None
        ]
        if not held:
            return PreparedMasks()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="masks")
        return PreparedMasks(self._thread.submit(self._fill, held))

    def _fill(self, held: Listed[HeldSequence]) -> TokenMasks:
        from llguidance import LLExecutor
        from llguidance.numpy import fill_next_token_bitmask_par

        if self._executor is None:
            self._executor = LLExecutor()
        words = np.zeros((len(held), -(-self._vocabulary // 32)), np.int32)
        matchers = [(each.constraint.matcher, row) for row, each in enumerate(held)]
        fill_next_token_bitmask_par(self._executor, matchers, words)
        return self._read(held, words.view(np.uint8))

    def _read(self, held: Listed[HeldSequence], bits: npt.NDArray[np.uint8]) -> TokenMasks:
        unpacked = np.unpackbits(bits, axis=1, count=self._vocabulary, bitorder="little")
        allowed = unpacked.view(np.bool_)
        rows, errors = {}, {}
        for row, (sequence, constraint, ends) in enumerate(held):
            try:
                constraint.check()
            except ConstraintError as error:
                errors[sequence] = error
                continue
            rows[sequence] = row
            _ban(allowed[row], [end for end in ends if end < self._vocabulary])
        return TokenMasks(rows, torch.from_numpy(np.logical_not(allowed, out=allowed)), errors)


def early_ends(sequence: Sequence) -> frozenset[int]:
    """The ends of sequence that may not be chosen, because ``min_new_tokens`` are not there yet."""
    return sequence.eos_ids if sequence.min_tokens_left else frozenset()


def ban_early_ends(scores: torch.Tensor, sequences: Listed[Sequence]) -> None:
    """Set ``scores`` of early ends to -inf, in place, for sequences without a constraint."""
    width = scores.shape[-1]
    places = [
        row * width + token_id
        for row, sequence in enumerate(sequences)
        if sequence.constraint is None
        for token_id in early_ends(sequence)
        if token_id < width
    ]
    if places:
        index = torch.tensor(places, device=scores.device)
        scores.view(-1).index_fill_(0, index, float("-inf"))


def _ban(allowed: npt.NDArray[np.bool_], ends: list[int]) -> None:
    """Disallow ``ends`` unless the grammar leaves nothing else."""
    were = allowed[ends]
    allowed[ends] = False
    if not allowed.any():
        allowed[ends] = were
