"""The sampler: chooses one sequence's next token from the logits of its model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from deployments.engine.codec import TextCodec
from deployments.engine.sequence import Sequence
from deployments.engine.uniform import sample_index, uniform
from deployments.seam.generation import Sampling, TokenLogprob


class Sampler:
    """Applies penalties, logit bias, grammar, temperature, top-k and top-p, in this order.

    The random number of a token depends on the sequence's seed and the token's position only. The
    sampler works in float32 on the host, so that a token does not depend on the device.
    """

    def __init__(self, sequence: Sequence, codec: TextCodec) -> None:
        self._sequence = sequence
        self._codec = codec
        self._warpers = _warpers(sequence.sampling)
        penalty = sequence.sampling.repetition_penalty
        self._repetition = RepetitionPenaltyLogitsProcessor(float(penalty))

    def sample(self, logits: torch.Tensor) -> tuple[int, TokenLogprob | None]:
        """The next token for raw ``logits`` of shape (vocabulary,), and its log-probability.

        Raises ``ConstraintError`` when the sequence's constraint cannot be followed any further.
        """
        raw = logits.float().cpu()
        scores = self._mask(self._penalise(raw.clone()))
        token_id = self._choose(scores)
        return token_id, self._logprob(raw, token_id)

    def _choose(self, scores: torch.Tensor) -> int:
        if self._sequence.sampling.greedy:
            return int(scores.numpy().argmax())
        warped = self._warpers(_NO_IDS, scores[None])[0]
        probabilities = torch.softmax(warped.double(), dim=-1).numpy()
        position = len(self._sequence.generated)
        return sample_index(probabilities, uniform(self._sequence.seed, position))

    def _penalise(self, scores: torch.Tensor) -> torch.Tensor:
        sampling, sequence = self._sequence.sampling, self._sequence
        if sampling.repetition_penalty != 1.0:
            ids: Any = torch.tensor([[*sequence.prompt_ids, *sequence.generated]])
            scores = self._repetition(ids, scores[None])[0]
        if (sampling.frequency_penalty or sampling.presence_penalty) and sequence.generated:
            counts = Counter(sequence.generated)
            times = torch.tensor(list(counts.values()), dtype=scores.dtype)
            penalty = times * sampling.frequency_penalty + sampling.presence_penalty
            scores[list(counts)] -= penalty
        if sampling.logit_bias:
            bias = torch.tensor(list(sampling.logit_bias.values()), dtype=scores.dtype)
            scores[list(sampling.logit_bias)] += bias
        return scores

    def _mask(self, scores: torch.Tensor) -> torch.Tensor:
        """Exclude tokens that the grammar does not allow, and the end of the sequence before
        ``min_new_tokens`` unless the grammar leaves nothing else."""
        sequence = self._sequence
        ends = torch.zeros_like(scores, dtype=torch.bool)
        if sequence.min_tokens_left and sequence.eos_ids:
            ends[list(sequence.eos_ids)] = True
        if sequence.constraint is None:
            return scores.masked_fill_(ends, float("-inf"))
        allowed = torch.from_numpy(sequence.constraint.allowed(len(scores)))
        longer = allowed & ~ends
        return scores.masked_fill_(~(longer if bool(longer.any()) else allowed), float("-inf"))

    def _logprob(self, raw: torch.Tensor, token_id: int) -> TokenLogprob | None:
        sampling = self._sequence.sampling
        if not sampling.logprobs:
            return None
        logprobs = torch.log_softmax(raw, dim=-1)
        best = torch.topk(logprobs, sampling.top_logprobs)
        ids = tuple(best.indices.tolist())
        top = tuple(
            (self._codec.token_text(index), value, self._codec.token_bytes(index))
            for value, index in zip(best.values.tolist(), ids, strict=True)
        )
        text, spelt = self._codec.token_text(token_id), self._codec.token_bytes(token_id)
        special = self._codec.special_ids.intersection(ids)
        return TokenLogprob(text, float(logprobs[token_id]), spelt, top, ids, special)


_NO_IDS: Any = torch.empty((1, 0), dtype=torch.long)


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    warpers = LogitsProcessorList()
    if sampling.greedy:
        return warpers
    if sampling.temperature != 1.0:
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.nucleus < 1.0:
        warpers.append(TopPLogitsWarper(float(sampling.nucleus)))
    return warpers
