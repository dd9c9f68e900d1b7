"""The OpenVINO model runner: decodes on CPUs with OpenVINO GenAI's continuous batching.

Weights are a GGUF file or an OpenVINO IR. The library runs in a process of its own, see
:mod:`deployments.engine.openvino.process`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from collections.abc import Sequence as Listed
from dataclasses import replace
from pathlib import Path

from configs.engines import DEFAULT_KV_CACHE_GB
from deployments.engine.codec import TextCodec
from deployments.engine.engine_core import EngineCore
from deployments.engine.model_folder import ModelFolder
from deployments.engine.model_runner import RunnerInfo
from deployments.engine.openvino.client import GenaiProcess
from deployments.engine.openvino.genai_config import (
    KV_BLOCK_TOKENS,
    PREFILL_ONLY,
    computing_dtype,
    generation_config,
    kv_blocks,
    plugin_properties,
    weights_path,
    whole_blocks,
)
from deployments.engine.openvino.messages import Launch, RunAdmission, StepCommand
from deployments.engine.openvino.prefix_cache import PrefixCacheEstimate
from deployments.engine.openvino.sequence_run import SequenceRun
from deployments.engine.running import RunningBatch
from deployments.engine.sequence import Sequence
from deployments.engine.settings import EngineSettings
from deployments.engine.tuning import MAX_EVICTIONS, SEED_SEGMENT_TOKENS
from deployments.seam.generation import TokenLogprob
from deployments.seam.problems import Problem

logger = logging.getLogger(__name__)


def open_openvino_engine(folder: Path | str, settings: EngineSettings) -> EngineCore:
    """Load the model in ``folder`` in a process of its own and start its engine.

    ``settings.threads`` are for matrix products, all of the processor's by default. Raises
    ``EngineNotLoaded`` when the folder or the bounds cannot be served, ``FileNotFoundError`` when
    there is no folder.
    """
    codec = TextCodec.from_folder(folder, settings.chat_template)
    files = ModelFolder.read(folder)
    gigabytes = DEFAULT_KV_CACHE_GB if settings.kv_cache_gb is None else settings.kv_cache_gb
    dtype = computing_dtype(settings.dtype)
    blocks = kv_blocks(files, gigabytes, dtype)
    bounds = (settings.window, files.window, (blocks - 1) * KV_BLOCK_TOKENS)
    launch = Launch(
        model=str(weights_path(files.path, dtype)),
        properties=plugin_properties(settings.threads, dtype),
        slots=settings.slots,
        kv_blocks=blocks,
        max_batched_tokens=settings.max_batched_tokens,
    )
    process = GenaiProcess.started(launch, settings.load_timeout_s)
    engine = EngineCore(
        codec,
        OpenVinoRunner(process, codec, launch),
        slots=settings.slots,
        window=min(each for each in bounds if each is not None),
        hang_after_s=settings.hang_after_s,
    )
    engine.start()
    return engine


class OpenVinoRunner:
    """Keeps sequences running in OpenVINO GenAI's pipeline of continuous batching.

    The pipeline uses paged attention: the KV cache is made of blocks, which the prefix cache shares
    between prompts. Each sequence has one :class:`SequenceRun` at a time.

    The pipeline gives a whole step to the oldest prompt. So that a long prompt does not hold up the
    others, it is prefilled in chunks: partial runs, each of which finds the chunks before it in the
    prefix cache. A step prefills at most ``max_batched_tokens``, less one for each slot.

    A preempted or evicted sequence starts a new run. A greedy one continues behind its tokens. The
    pipeline cannot be given a random state, so a sampled one is replayed from the seed of its
    segment; the tokens that were delivered before are checked and dropped.
    """

    def __init__(self, process: GenaiProcess, codec: TextCodec, launch: Launch) -> None:
        kv_tokens = launch.kv_blocks * KV_BLOCK_TOKENS
        self.info = RunnerInfo("cpu", process.process_id, abortable=True, kv_tokens=kv_tokens)
        self._process = process
        self._codec = codec
        self._blocks = launch.kv_blocks
        self._chunk = whole_blocks(launch.max_batched_tokens - launch.slots)
        self._prefix_cache = PrefixCacheEstimate(kv_tokens)
        self._runs: dict[int, SequenceRun] = {}
        self._by_sequence: dict[Sequence, SequenceRun] = {}
        self._waiting: list[SequenceRun] = []
        self._cancels: list[int] = []
        self._last_run_id = 0
        self._kv_usage = 0.0

    def fits(self, sequences: Listed[Sequence]) -> bool:
        """Counts whole blocks; sequences with the same prompt share its blocks."""
        prompts = {id(each.prompt_ids): len(each.prompt_ids) for each in sequences}
        tokens = [*prompts.values(), *(len(each.generated) + 1 for each in sequences)]
        return sum(count // KV_BLOCK_TOKENS + 1 for count in tokens) < self._blocks

    def admit(self, sequence: Sequence) -> None:
        cached = self._prefix_cache.cached_tokens((*sequence.prompt_ids, *sequence.generated))
        self._resume(SequenceRun(0, sequence, cached=cached))

    def free(self, sequence: Sequence) -> None:
        run = self._by_sequence.pop(sequence, None)
        if run is None:
            return
        del self._runs[run.run_id]
        if run in self._waiting:
            self._waiting.remove(run)
        else:
            self._cancels.append(run.run_id)
        decoded = len(sequence.generated) - run.start - run.replayed
        cached = run.cached - run.prefilling + decoded
        self._prefix_cache.remember((*sequence.prompt_ids, *sequence.generated)[:cached])

    def step(self, batch: RunningBatch) -> None:
        command = StepCommand(tuple(self._admissions(batch)), tuple(self._cancels))
        self._cancels.clear()
        result = self._process.step(command)
        self._kv_usage = result.kv_usage
        for run_id, tokens in result.tokens.items():
            for token_id, logprob in tokens:
                run = self._runs.get(run_id)
                if run is not None:
                    batch.guard(run.sequence, self._take, batch, run, token_id, logprob)
        for run_id, reason in result.rejected.items():
            self._reject(batch, run_id, reason)
        for run_id in result.evicted:
            self._evict(batch, run_id)

    def kv_usage(self, running: Listed[Sequence]) -> float:
        return self._kv_usage

    def prefix_counts(self) -> None:
        """The library does not tell; what is estimated here plans steps, and is no measurement."""
        return

    def memory_bytes(self) -> int | None:
        return self._process.resident_bytes()

    def failure(self) -> str | None:
        code = self._process.exit_code
        return None if code is None else f"The decoding process ended with code {code}"

    def abort(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.close()

    def _admissions(self, batch: RunningBatch) -> Iterator[RunAdmission]:
        """As many waiting runs as one step can prefill, those of the least served request first.

        Of one request the run with the shortest prefill is first: others may then find its prompt
        in the prefix cache.
        """

        def rank(run: SequenceRun) -> tuple[tuple[float, float, float], int]:
            return batch.served(run.sequence), run.uncached

        left = self._chunk - sum(run.prefilling for run in self._runs.values())
        waiting, self._waiting = sorted(self._waiting, key=rank), []
        for run in waiting:
            uncached = run.uncached
            partial_run = uncached > 2 * self._chunk
            prefill = self._chunk if partial_run else uncached if uncached > 1 else 0
            if prefill <= max(0, left) or left == self._chunk:
                left -= prefill
                run.partial, run.prefilling = partial_run, prefill
                run.cached += prefill if partial_run else uncached
                yield self._admission(batch, run)
            else:
                self._waiting.append(run)
                left = min(left, 0)  # a run never overtakes one of better rank

    def _admission(self, batch: RunningBatch, run: SequenceRun) -> RunAdmission:
        self._prefix_cache.compute(run.prefilling)
        batch.count(run.sequence, run.prefilling // KV_BLOCK_TOKENS)
        prompt = (*run.sequence.prompt_ids, *run.sequence.generated[: run.start])
        config = PREFILL_ONLY if run.partial else generation_config(run.sequence, run.start)
        return RunAdmission(run.run_id, prompt[: run.cached], config)

    def _take(self, batch: RunningBatch, run: SequenceRun, token_id: int, logprob: float) -> None:
        """Take a token of a run: deliver it, check a replayed one, or go on with the prefill."""
        sequence = run.sequence
        self._prefix_cache.compute(1)
        run.prefilling = 0
        if run.partial:
            self._start(run)
            return
        if not sequence.generated:
            self._prefix_cache.remember(sequence.prompt_ids)
        if run.replayed:
            self._check_replayed(batch, run, token_id)
            return
        run.evictions = 0
        batch.append(sequence, token_id, self._detail(sequence, token_id, logprob))
        segment_complete = len(sequence.generated) % SEED_SEGMENT_TOKENS == 0
        if segment_complete and not (sequence.finished or sequence.sampling.greedy):
            self._continue(run)

    def _check_replayed(self, batch: RunningBatch, run: SequenceRun, token_id: int) -> None:
        """Compare a replayed token with the one that was delivered.

        They differ where rounding, which depends on the rest of the batch, decided between two
        tokens. Then the text continues behind what was delivered, from another seed.
        """
        sequence = run.sequence
        batch.count(sequence, 1)
        if sequence.generated[-run.replayed] == token_id:
            run.replayed -= 1
            return
        self._cancels.append(run.run_id)
        self._continue(run)

    def _reject(self, batch: RunningBatch, run_id: int, reason: str) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            logger.error("OpenVINO rejected a sequence: %s", reason)
            batch.fail(run.sequence, Problem("internal", "The model refused the request."))

    def _evict(self, batch: RunningBatch, run_id: int) -> None:
        """Resume a sequence that lost its KV cache blocks.

        The pipeline evicts everyone when nothing could be scheduled, for instance while the blocks
        of a cancelled sequence are not free yet. Each sequence alone fits, since the window does.
        """
        run = self._runs.get(run_id)
        if run is None:
            return
        if run.evictions < MAX_EVICTIONS:
            self._resume(replace(run, evictions=run.evictions + 1, prefilling=0))
        else:
            batch.fail(run.sequence, Problem("unavailable", "The model has no memory left."))

    def _resume(self, run: SequenceRun) -> None:
        """Start a run behind the sequence's tokens, or behind its last segment if it is sampled."""
        generated = len(run.sequence.generated)
        replayed = 0 if run.sequence.sampling.greedy else generated % SEED_SEGMENT_TOKENS
        self._start(replace(run, start=generated - replayed, replayed=replayed))

    def _continue(self, run: SequenceRun) -> None:
        """Start a run behind all tokens of the sequence, which are cached, with their own seed."""
        start = len(run.sequence.generated)
        cached = len(run.sequence.prompt_ids) + start
        self._start(replace(run, start=start, replayed=0, cached=cached))

    def _start(self, run: SequenceRun) -> None:
        """Let a run wait for its admission, in place of the sequence's earlier one."""
        self._runs.pop(run.run_id, None)
        self._last_run_id += 1
        started = replace(run, run_id=self._last_run_id)
        self._runs[started.run_id] = started
        self._by_sequence[run.sequence] = started
        self._waiting.append(started)

    def _detail(self, sequence: Sequence, token_id: int, logprob: float) -> TokenLogprob | None:
        if not sequence.sampling.logprobs:
            return None
        text, spelt = self._codec.token_text(token_id), self._codec.token_bytes(token_id)
        return TokenLogprob(text, logprob, spelt)
