"""The sampler: chooses the next token of every running sequence from the logits of one forward."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.order_statistics import argmax
from deployments.engine.sampling_batch import SamplingBatch
from deployments.engine.sampling_state import Method, SamplingState
from deployments.engine.token_logprobs import SampledRow, token_logprobs
from deployments.engine.token_masks import MaskFiller, PreparedMasks, TokenMasks
from deployments.engine.tuning import CPU_CHUNK
from deployments.seam.generation import TokenLogprob

if TYPE_CHECKING:
    from deployments.engine.codec import TextCodec
    from deployments.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Sampled:
    """The next token of a sequence. ``logprob`` is there where the request asks for it, and is of
    the model's raw logits."""

    token_id: int
    logprob: TokenLogprob | None


class Sampler:
    """Chooses tokens for all running sequences at once, on the model's ``device``.

    For each row, as far as its request asks for it: repetition penalty, frequency and presence
    penalties, logit bias, grammar and minimum length, temperature, top-k, top-p, min-p, typical
    sampling. A token is drawn
    by inverting the cumulative distribution, in the order of token ids, at a random number of the
    sequence's seed and the token's position. All arithmetic is float32, which MPS has too, and goes
    along rows: what is sampled for one does not depend on the others, up to the order in which a
    GPU adds. Not thread-safe.
    """

    def __init__(self, codec: TextCodec, device: torch.device) -> None:
        self._codec = codec
        self._device = device
        self._filler = MaskFiller(codec.vocab_size)
        self._states: dict[Sequence, SamplingState] = {}

    def add(self, sequence: Sequence) -> None:
        """Begin to sample for a sequence: a new one, or one that resumes behind its tokens."""
        self._states[sequence] = SamplingState(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence. Does nothing if it is not known."""
        self._states.pop(sequence, None)

    def prepare(self, sequences: Listed[Sequence]) -> PreparedMasks:
        """Begin to fill the grammar masks of ``sequences`` on other threads; returns at once.

        For the rows of the next :meth:`sample`, before their forward. All their tokens so far must
        have been appended, and none may be until :meth:`sample` has returned.
        """
        return self._filler.prepare(sequences)

    @torch.inference_mode()
    def sample(
        self, sequences: Listed[Sequence], logits: torch.Tensor, masks: PreparedMasks
    ) -> list[Sampled | ConstraintError]:
        """The next tokens of ``sequences``, which have been added.

        ``logits`` are raw, of any floating point type and shape (rows, vocabulary); row i is of
        ``sequences[i]``, and they are not changed. ``masks`` are what :meth:`prepare` returned for
        the same sequences. A sequence whose text cannot be held to its grammar any further has a
        ``ConstraintError`` in place of a token.
        """
        token_masks = masks.wait()
        states = [self._states[sequence] for sequence in sequences]
        ids = self._choose(states, logits, token_masks)
        logprobs = self._logprobs(states, logits, ids)
        return [
            token_masks.errors.get(sequence) or Sampled(token_id, logprobs.get(row))
            for row, (sequence, token_id) in enumerate(zip(sequences, ids, strict=True))
        ]

    def _choose(
        self, states: list[SamplingState], logits: torch.Tensor, masks: TokenMasks
    ) -> list[int]:
        """The token of each row. Rows that need the same work are brought together first."""
        if all(state.method is Method.ARGMAX for state in states):
            ids: list[int] = argmax(logits).tolist()
            return ids
        order = sorted(range(len(states)), key=lambda row: states[row].method)
        chosen: dict[int, int] = {}
        for rows in self._chunks(order, logits.shape[-1]):
            batch = SamplingBatch([states[row] for row in rows], masks)
            taken = logits.index_select(0, torch.tensor(rows, device=self._device))
            chosen |= zip(rows, batch.sample(taken), strict=True)
        return [chosen[row] for row in range(len(states))]

    def _chunks(self, order: list[int], vocabulary: int) -> Iterator[list[int]]:
        """Rows to compute together: all on a GPU, as many as fit into the cache on a CPU."""
        on_cpu = self._device.type == "cpu"
        size = max(1, CPU_CHUNK // vocabulary) if on_cpu else len(order)
        return (order[first : first + size] for first in range(0, len(order), size))

    def _logprobs(
        self, states: list[SamplingState], logits: torch.Tensor, ids: list[int]
    ) -> dict[int, TokenLogprob]:
        rows = [
            SampledRow(row, ids[row], plan.top_logprobs, plan.logprob_token_ids)
            for row, plan in enumerate(state.sampling for state in states)
            if plan.logprobs
        ]
        found = token_logprobs(logits, rows, self._codec) if rows else []
        return {each.row: logprob for each, logprob in zip(rows, found, strict=True)}
