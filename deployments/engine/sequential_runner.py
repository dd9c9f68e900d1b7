"""The sequential model runner: one sequence a step, for models that cannot compute packed steps."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Listed
from typing import Any, TypeAlias

import torch
from transformers import DynamicCache

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.kv_budget import KvCacheBudget, weight_bytes
from deployments.engine.model_runner import RunnerInfo
from deployments.engine.prompt_logprobs import PromptScores
from deployments.engine.running import RunningBatch
from deployments.engine.sampling import Sampler
from deployments.engine.sequence import Sequence
from deployments.engine.tuning import PREFILL_TOKENS_PER_UNIT

_MAX_FAILED_FORWARDS = 3
"""Failed forwards in a row, of different sequences, after which the engine is at fault."""


Forward: TypeAlias = Callable[[list[int], int], torch.Tensor]
"""Adds tokens to the KV cache of one sequence; the logits after the last ones, as many as are
wanted, of shape (wanted, vocabulary)."""


class CachedForward:
    """The :data:`Forward` of a causal language model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._cache = DynamicCache(config=model.config)

    def __call__(self, tokens: list[int], wanted: int) -> torch.Tensor:
        output = self._model(
            input_ids=torch.tensor([tokens], device=self._model.device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=wanted,
        )
        logits: torch.Tensor = output.logits[0, -wanted:]
        return logits


class _RunningSequence:
    """A running sequence, its forward, and the tokens that are not in the KV cache.

    ``scores`` are there until the first token, where its prompt's log-probabilities are wanted.
    """

    def __init__(self, sequence: Sequence, forward: Forward, scores: PromptScores | None) -> None:
        self.sequence = sequence
        self.forward = forward
        self.pending = [*sequence.prompt_ids, *sequence.generated]
        self.scores = scores


class SequentialRunner:
    """Any ``AutoModelForCausalLM`` with a KV cache; a step is a forward for one sequence.

    Running sequences take turns, each with a KV cache of its own. A preempted sequence loses its
    cache, and is prefilled again when it resumes. Chunked prefill: prompts are prefilled
    ``prefill_chunk`` tokens a step, so that a cancel need not wait for a whole prompt.
    ``open_forward`` makes the forward of each sequence.
    """

    def __init__(
        self,
        model: Any,
        codec: TextCodec,
        budget: KvCacheBudget,
        prefill_chunk: int,
        open_forward: Callable[[Sequence], Forward] | None = None,
    ) -> None:
        self._open_forward = open_forward or (lambda _: CachedForward(model))
        self._codec = codec
        self._sampler = Sampler(codec, model.device)
        self._budget = budget
        self._prefill_chunk = prefill_chunk
        in_thread = model.device.type == "cpu"
        kv_tokens = budget.total_bytes // budget.token_bytes if budget.token_bytes else None
        self.info = RunnerInfo(str(model.device), None, in_thread, kv_tokens=kv_tokens)
        self._bytes = weight_bytes(model)
        self._running: dict[Sequence, _RunningSequence] = {}
        self._failed_forwards = 0

    def fits(self, sequences: Listed[Sequence]) -> bool:
        return self._budget.usage(sequences) <= 1.0

    def admit(self, sequence: Sequence) -> None:
        forward = self._open_forward(sequence)
        self._sampler.add(sequence)
        scores = PromptScores(sequence, self._codec) if sequence.scores_prompt else None
        self._running[sequence] = _RunningSequence(sequence, forward, scores)

    def free(self, sequence: Sequence) -> None:
        self._sampler.remove(sequence)
        self._running.pop(sequence, None)

    def step(self, batch: RunningBatch) -> None:
        sequence = batch.next()
        if sequence is None:
            return
        batch.guard(sequence, self._advance, batch, self._running[sequence])
        if self._failed_forwards == _MAX_FAILED_FORWARDS:
            raise RuntimeError(f"{_MAX_FAILED_FORWARDS} forwards in a row failed")

    def kv_usage(self, running: Listed[Sequence]) -> float | None:
        return min(1.0, self._budget.usage(running)) if self._budget.token_bytes else None

    def prefix_counts(self) -> None:
        return None

    def memory_bytes(self) -> int:
        return self._bytes

    def failure(self) -> None:
        return None

    def abort(self) -> None: ...

    def close(self) -> None:
        self._running.clear()
        del self._open_forward

    @torch.inference_mode()
    def _advance(self, batch: RunningBatch, running: _RunningSequence) -> None:
        """Prefill a chunk or decode; samples a token once all of the sequence is in the cache."""
        first = len(running.sequence.prompt_ids) - len(running.pending)
        chunk = running.pending[: self._prefill_chunk]
        running.pending = running.pending[self._prefill_chunk :]
        batch.count(running.sequence, len(chunk) // PREFILL_TOKENS_PER_UNIT)
        self._failed_forwards += 1
        logits = running.forward(chunk, len(chunk) if running.scores else 1)
        self._failed_forwards = 0
        if running.scores is not None:
            running.scores.add(first, logits if running.pending else logits[:-1])
            logits = logits[-1:]
        if not running.pending:
            masks = self._sampler.prepare([running.sequence])
            (sampled,) = self._sampler.sample([running.sequence], logits, masks)
            if isinstance(sampled, ConstraintError):
                raise sampled
            if running.scores is not None:
                sampled, running.scores = running.scores.added_to(sampled), None
            running.pending = [sampled.token_id]
            batch.append(running.sequence, sampled.token_id, sampled.logprob)
