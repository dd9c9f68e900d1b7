"""The torch model runner: continuous batching of transformers' models, on any device torch has."""

from __future__ import annotations

from collections.abc import Sequence as Listed

import torch

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.kv_blocks import BlockPool
from deployments.engine.model_runner import RunnerInfo
from deployments.engine.packed_model import PackedModel
from deployments.engine.prefix_counts import PrefixCounts
from deployments.engine.prompt_logprobs import PromptScores
from deployments.engine.running import RunningBatch
from deployments.engine.sampling import Sampled, Sampler
from deployments.engine.sequence import Sequence
from deployments.engine.step_plan import Chunk, RunningSequence, StepPlanner
from deployments.engine.tuning import PREFILL_TOKENS_PER_UNIT


class TorchRunner:
    """Advances all running sequences in one forward a step: tokens packed into one row.

    A step has the next token of every decoding sequence, then chunks of prompts, at most
    ``max_batched_tokens``, and ``max_mixed_prefill`` prompt tokens beside decoding sequences. With
    ``overlap``, on devices that compute asynchronously, the tokens of a step are delivered while
    the next step is computed.
    """

    def __init__(
        self,
        model: PackedModel,
        codec: TextCodec,
        *,
        weight_bytes: int,
        max_batched_tokens: int,
        max_mixed_prefill: int,
        overlap: bool,
    ) -> None:
        self._model = model
        cache, device = model.cache, model.device
        # A CPU gives memory to the KV cache as it fills, a GPU at once.
        on_cpu = device.type == "cpu"
        self.info = RunnerInfo(
            str(device),
            computes_in_thread=on_cpu,
            kv_cache_bytes=cache.nbytes if on_cpu else 0,
            kv_tokens=cache.blocks * cache.block_tokens,
        )
        self._bytes = weight_bytes + (0 if on_cpu else cache.nbytes)
        self._codec = codec
        self._vocabulary = model.vocabulary
        self._pool = BlockPool(cache.blocks, cache.block_tokens, contiguous=cache.contiguous)
        self._planner = StepPlanner(self._pool, max_batched_tokens, max_mixed_prefill)
        self._sampler = Sampler(codec, model.device)
        self._overlap = overlap
        self._running: dict[Sequence, RunningSequence] = {}
        self._scores: dict[Sequence, PromptScores] = {}
        self._undelivered: list[tuple[Sequence, Sampled | ConstraintError]] = []

    def fits(self, sequences: Listed[Sequence]) -> bool:
        """Counts whole blocks; sequences with the same prompt share its full blocks."""
        size = self._pool.block_tokens
        prompts = {id(each.prompt_ids): len(each.prompt_ids) // size for each in sequences}
        own = (
            self._pool.needed(len(each.prompt_ids) % size + len(each.generated) + 1)
            for each in sequences
        )
        return sum(prompts.values()) + sum(own) <= self._pool.blocks

    def admit(self, sequence: Sequence) -> None:
        if max(sequence.prompt_ids) >= self._vocabulary:
            raise ValueError("the prompt has token ids that the model does not know")
        self._sampler.add(sequence)
        self._running[sequence] = RunningSequence(sequence, self._pool)
        if sequence.scores_prompt:
            self._scores[sequence] = PromptScores(sequence, self._codec)

    def free(self, sequence: Sequence) -> None:
        running = self._running.pop(sequence, None)
        self._scores.pop(sequence, None)
        self._sampler.remove(sequence)
        # A preempted sequence may be admitted again at once, and samples the same token again.
        self._undelivered = [each for each in self._undelivered if each[0] is not sequence]
        if running is not None:
            running.table.release()

    def step(self, batch: RunningBatch) -> None:
        chunks = self._planner.plan(self._running.values(), batch.served)
        if chunks:
            self._compute(batch, chunks)
        if not chunks or not self._overlap:
            self._deliver(batch)

    def kv_usage(self, running: Listed[Sequence]) -> float:
        return self._pool.used / self._pool.blocks

    def prefix_counts(self) -> PrefixCounts:
        return self._pool.prefix_counts

    def memory_bytes(self) -> int:
        return self._bytes

    def failure(self) -> None:
        return None

    def abort(self) -> None: ...

    def close(self) -> None:
        self._running.clear()
        self._undelivered.clear()
        del self._model

    def _compute(self, batch: RunningBatch, chunks: dict[RunningSequence, Chunk]) -> None:
        """One forward, and the next token of every sequence that is in the KV cache as a whole."""
        step = self._model.packed(list(chunks.values()))
        sampling = [running for running, chunk in chunks.items() if chunk.samples]
        if not self._overlap:
            masks = self._sampler.prepare([each.sequence for each in sampling])
        logits = self._model.forward(step)
        if step.scored:
            self._score(chunks, logits[-step.scored :])
            logits = logits[: -step.scored]
        for running, chunk in chunks.items():
            chunk.table.advance(chunk.last)
            batch.count(running.sequence, (chunk.last - chunk.first) // PREFILL_TOKENS_PER_UNIT)
        if self._overlap:
            self._deliver(batch)  # the tokens of the step before, while the device computes
            kept = [i for i, each in enumerate(sampling) if each.sequence in self._running]
            if len(kept) < len(sampling):
                sampling, logits = [sampling[i] for i in kept], logits[kept]
            masks = self._sampler.prepare([each.sequence for each in sampling])
        sampled = self._sampler.sample([each.sequence for each in sampling], logits, masks)
        for running, outcome in zip(sampling, sampled, strict=True):
            if isinstance(outcome, Sampled):
                if running.scores_prompt:
                    outcome = self._scores.pop(running.sequence).added_to(outcome)
                running.token_ids.append(outcome.token_id)
            self._undelivered.append((running.sequence, outcome))

    def _score(self, chunks: dict[RunningSequence, Chunk], logits: torch.Tensor) -> None:
        """Read the log-probabilities of prompts from the logits of all scored tokens, in order."""
        row = 0
        for running, chunk in chunks.items():
            if chunk.scored:
                rows = logits[row : row + chunk.scored]
                self._scores[running.sequence].add(chunk.first, rows)
                row += chunk.scored

    def _deliver(self, batch: RunningBatch) -> None:
        undelivered, self._undelivered = self._undelivered, []
        for sequence, outcome in undelivered:
            if sequence in self._running:
                batch.guard(sequence, _append, batch, sequence, outcome)


def _append(batch: RunningBatch, sequence: Sequence, outcome: Sampled | ConstraintError) -> None:
    if isinstance(outcome, ConstraintError):
        raise outcome
    batch.append(sequence, outcome.token_id, outcome.logprob)
