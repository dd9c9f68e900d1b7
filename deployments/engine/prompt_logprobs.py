"""Log-probabilities of a prompt's tokens, from the forwards that prefill it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from deployments.engine.sampling import Sampled
from deployments.engine.sequence import Sequence
from deployments.engine.token_logprobs import SampledRow, token_logprobs
from deployments.seam.generation import PromptLogprobs, TokenLogprob

if TYPE_CHECKING:
    from deployments.engine.codec import TextCodec


class PromptScores:
    """Collects the log-probabilities of one sequence's prompt, chunk by chunk."""

    def __init__(self, sequence: Sequence, codec: TextCodec) -> None:
        self._ids = sequence.prompt_ids
        self._top = sequence.sampling.top_logprobs
        self._codec = codec
        self._found: list[TokenLogprob] = []
        """Log-probabilities of the prompt's tokens, without the first, which has none."""

    def add(self, first: int, logits: torch.Tensor) -> None:
        """Take the raw ``logits`` of the prompt's tokens from ``first`` on, (tokens, vocabulary).

        Each tells the log-probability of the token behind it. Tokens may come again, from a
        sequence that had lost its place in the KV cache.
        """
        following = self._ids[first + 1 : first + 1 + len(logits)]
        rows = [SampledRow(row, token_id, self._top) for row, token_id in enumerate(following)]
        del self._found[first:]
        self._found += token_logprobs(logits, rows, self._codec) if rows else []

    def added_to(self, sampled: Sampled) -> Sampled:
        """The first token of the text, with the log-probabilities of the prompt."""
        if sampled.logprob is None:
            return sampled
        codec, first = self._codec, self._ids[0]
        opening = TokenLogprob(codec.token_text(first), 0.0, codec.token_bytes(first))
        special = tuple(token_id in codec.special_ids for token_id in self._ids)
        prompt = PromptLogprobs((opening, *self._found), special)
        return replace(sampled, logprob=replace(sampled.logprob, prompt=prompt))
