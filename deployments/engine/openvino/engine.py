"""Decoding on CPUs with OpenVINO GenAI's continuous batching, over a paged KV cache.

Weights are a GGUF file or an OpenVINO IR. The library runs in a process of its own, see
:mod:`deployments.engine.openvino.process`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from collections.abc import Sequence as Listed
from dataclasses import replace
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

from cachetools import LRUCache

from deployments.engine.codec import TextCodec
from deployments.engine.interface import EngineStopped
from deployments.engine.model_folder import ModelFolder
from deployments.engine.openvino.client import GenaiProcess
from deployments.engine.openvino.messages import KV_BLOCK_TOKENS, Admission, Launch, StepCommand
from deployments.engine.openvino.runs import Known, SequenceRun
from deployments.engine.openvino.settings import (
    READ_ONLY,
    SEGMENT,
    kv_blocks,
    properties,
    settings,
    weights,
    whole_blocks,
)
from deployments.engine.sequence import Sequence
from deployments.engine.step_loop import SteppingEngine
from deployments.seam.generation import TokenLogprob
from deployments.seam.problems import Problem

logger = logging.getLogger(__name__)

KV_CACHE_GB = 1.0
_MOST_RETURNS = 8
_PROMPTS = 64
"""Prompts that are remembered as being in the prefix cache."""


class OpenVinoEngine(SteppingEngine):
    """Continuous batching on a CPU: ``slots`` sequences decode together.

    ``kv_cache_gb`` GiB of KV cache bound the window; when several sequences together outgrow it
    some wait for their turn again. ``threads`` is for the matrix products (all of the processor's
    by default), ``max_batched_tokens`` bounds a step, and with it how long a long prompt holds up
    the others: prompts are read in pieces of at most a step each, by turns of requests.
    """

    _abortable = True

    def __init__(
        self,
        folder: Path | str,
        *,
        slots: int = 16,
        threads: int | None = None,
        kv_cache_gb: float = KV_CACHE_GB,
        max_batched_tokens: int = 512,
        window: int | None = None,
        chat_template: str | None = None,
        hang_after_s: float = 120.0,
    ) -> None:
        codec = TextCodec.from_folder(folder, chat_template)
        files = ModelFolder.read(folder)
        blocks = kv_blocks(files, kv_cache_gb)
        bounds = (window, files.window, (blocks - 1) * KV_BLOCK_TOKENS)
        smallest = min(each for each in bounds if each is not None)
        super().__init__(codec, slots=slots, window=smallest, hang_after_s=hang_after_s)
        self._blocks = blocks
        self._runs: dict[int, SequenceRun] = {}
        self._unread: list[SequenceRun] = []
        self._numbers: dict[Sequence, int] = {}
        self._piece = whole_blocks(max_batched_tokens - slots)
        self._known: WeakKeyDictionary[Sequence, Known] = WeakKeyDictionary()
        self._prompts: LRUCache[tuple[int, ...], Known] = LRUCache(_PROMPTS)
        self._computed = 0
        self._next = 0
        self._drops: list[int] = []
        self._usage = 0.0
        self._process = GenaiProcess(
            Launch(
                model=str(weights(files.path)),
                properties=properties(threads),
                slots=slots,
                kv_blocks=blocks,
                max_batched_tokens=max_batched_tokens,
            )
        )
        self._start()

    @property
    def process_id(self) -> int:
        """The process that decodes; its memory is the model's."""
        return self._process.number

    def check(self) -> None:
        super().check()
        code = self._process.exit_code
        if code is not None:
            raise EngineStopped(f"The decoding process ended with code {code}")

    def _enter(self, sequence: Sequence) -> None:
        known = (self._known.get(sequence), self._prompts.get(sequence.prompt_ids))
        self._begin(SequenceRun(self._next, sequence, read=max(map(self._still_cached, known))))

    def _still_cached(self, known: Known | None) -> int:
        """Of tokens that were in the prefix cache as many as still are; none when in doubt."""
        if known is None or (self._computed - known.at) * 4 > self._blocks * KV_BLOCK_TOKENS:
            return 0
        return known.tokens

    def _begin(self, run: SequenceRun) -> None:
        """Start or start again, at the next step that can read it.

        A greedy sequence goes on behind its tokens. The pipeline cannot be given a random state, so
        a sampled one starts at its segment, from that one's seed, and what was delivered already is
        checked instead of delivered.
        """
        self._next += 1
        generated = len(run.sequence.generated)
        repeats = 0 if run.sequence.sampling.greedy else generated % SEGMENT
        self._wait(replace(run, number=self._next, start=generated - repeats, repeats=repeats))

    def _wait(self, run: SequenceRun) -> None:
        self._runs[run.number] = run
        self._numbers[run.sequence] = run.number
        self._unread.append(run)

    def _send(self) -> Iterator[Admission]:
        """As much for the pipeline to read as fits one step, by turns of requests.

        It gives a whole step to the oldest prompt, so what it has is read before what comes later.
        A long prompt is read in pieces that end, each found in the prefix cache by the next.
        """
        left = self._piece - sum(run.cost for run in self._runs.values())
        waiting, self._unread = sorted(self._unread, key=self._turn_of), []
        for run in waiting:
            unread = self._to_read(run)
            cost = self._piece if unread > 2 * self._piece else unread if unread > 1 else 0
            if cost <= max(0, left) or left == self._piece:
                left -= cost
                yield self._admission(run, unread, cost)
            else:
                self._unread.append(run)
                left = min(left, 0)  # nobody else is read before it

    def _admission(self, run: SequenceRun, unread: int, cost: int) -> Admission:
        run.cost, run.reading = cost, unread > 2 * self._piece
        run.read += cost if run.reading else unread
        self._computed += cost
        self._serve(run.sequence, cost // KV_BLOCK_TOKENS)
        prompt = (*run.sequence.prompt_ids, *run.sequence.generated[: run.start])
        given = READ_ONLY if run.reading else settings(run.sequence, run.start)
        return Admission(run.number, prompt[: run.read], given)

    def _turn_of(self, run: SequenceRun) -> tuple[int, int]:
        """Of one request what is read soonest is first; others may find its prompt in the cache."""
        with self._wake:
            return self._scheduler.served(run.sequence), self._to_read(run)

    def _to_read(self, run: SequenceRun) -> int:
        return len(run.sequence.prompt_ids) + run.start - run.read

    def _leave(self, sequence: Sequence) -> None:
        number = self._numbers.pop(sequence, None)
        if number is None:
            return
        run = self._runs.pop(number)
        if run in self._unread:
            self._unread.remove(run)
        else:
            self._drops.append(number)
        decoded = len(sequence.generated) - run.start - run.repeats
        self._known[sequence] = Known(run.read + decoded, self._computed)

    def _step(self) -> None:
        turn = StepCommand(tuple(self._send()), tuple(self._drops))
        self._drops.clear()
        outcome = self._process.turn(turn)
        self._usage = outcome.kv_usage
        for number, tokens in outcome.tokens.items():
            for token_id, logprob in tokens:
                self._take(number, token_id, logprob)
        for number, reason in outcome.refused.items():
            self._refuse(number, reason)
        for number in outcome.ousted:
            self._return(number)

    def _take(self, number: int, token_id: int, logprob: float) -> None:
        run = self._runs.get(number)
        if run is not None:
            self._alone(run.sequence, partial(self._taken, run, token_id, logprob))

    def _taken(self, run: SequenceRun, token_id: int, logprob: float) -> None:
        sequence = run.sequence
        self._computed += 1
        run.cost = 0
        if run.reading:
            del self._runs[run.number]
            self._next += 1
            self._wait(replace(run, number=self._next))
            return
        if not sequence.generated:
            known = Known(len(sequence.prompt_ids), self._computed)
            self._prompts[sequence.prompt_ids] = known
        if run.repeats:
            self._repeated(run, token_id)
            return
        run.returns = 0
        self._hand_over(sequence, token_id, self._detail(sequence, token_id, logprob))
        if not (sequence.finished or sequence.sampling.greedy or len(sequence.generated) % SEGMENT):
            self._restart(run)

    def _repeated(self, run: SequenceRun, token_id: int) -> None:
        """Check a token that was delivered before. Another one is a tie of floating point, turned
        by what decodes beside it: the text goes on from where it was, by other draws."""
        sequence = run.sequence
        self._serve(sequence, 1)
        if sequence.generated[-run.repeats] == token_id:
            run.repeats -= 1
            return
        self._drops.append(run.number)
        self._restart(run)

    def _restart(self, run: SequenceRun) -> None:
        """Go on behind all that was generated, from a seed of that place."""
        del self._runs[run.number]
        self._next += 1
        start = len(run.sequence.generated)
        read = len(run.sequence.prompt_ids) + start
        self._wait(replace(run, number=self._next, start=start, repeats=0, read=read))

    def _detail(self, sequence: Sequence, token_id: int, logprob: float) -> TokenLogprob | None:
        if not sequence.sampling.logprobs:
            return None
        text, raw = self.codec.token_text(token_id), self.codec.token_bytes(token_id)
        return TokenLogprob(text, logprob, raw)

    def _refuse(self, number: int, reason: str) -> None:
        run = self._runs.get(number)
        if run is not None:
            logger.error("OpenVINO refused a request: %s", reason)
            self._give_up(run.sequence, Problem("internal", "The model refused the request."))

    def _return(self, number: int) -> None:
        """Start a sequence again that lost its place to others.

        The pipeline throws out everyone when nothing could be scheduled, for instance while the
        memory of a cancelled sequence is not free yet. Each alone fits, since the window does.
        """
        run = self._runs.get(number)
        if run is None:
            return
        if run.returns < _MOST_RETURNS:
            del self._runs[number]
            self._begin(replace(run, returns=run.returns + 1, cost=0))
        else:
            self._give_up(run.sequence, Problem("unavailable", "The model has no memory left."))

    def _fits(self, sequences: Listed[Sequence]) -> bool:
        """By whole blocks, and one that is begun; those of one prompt share them."""
        prompts = {id(each.prompt_ids): len(each.prompt_ids) for each in sequences}
        tokens = [*prompts.values(), *(len(each.generated) + 1 for each in sequences)]
        return sum(count // KV_BLOCK_TOKENS + 1 for count in tokens) < self._blocks

    def _abort(self) -> None:
        self._process.kill()

    def _release(self) -> None:
        self._process.close()

    def _kv_usage(self) -> float | None:
        return self._usage

    def _memory_bytes(self) -> int | None:
        return self._process.resident_bytes()
