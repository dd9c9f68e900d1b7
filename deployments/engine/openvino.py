"""Decoding on CPUs with OpenVINO GenAI's continuous batching, over a paged KV cache.

Weights are a GGUF file or an OpenVINO IR. The library runs in a process of its own, see
:mod:`deployments.engine.genai_process`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configs.processor import usable_cores
from deployments.engine.codec import TextCodec
from deployments.engine.genai_client import GenaiProcess
from deployments.engine.genai_messages import KV_BLOCK_TOKENS, Admission, Launch, Turn
from deployments.engine.interface import EngineNotLoaded, EngineStopped
from deployments.engine.model_folder import ModelFolder
from deployments.engine.sequence import Sequence
from deployments.engine.stepping import SteppingEngine
from deployments.seam import Problem, Sampling, TokenLogprob

logger = logging.getLogger(__name__)

_KV_BYTES = 4
_READ_ONLY = {"max_new_tokens": 1, "do_sample": False, "ignore_eos": True}
_MOST_RETURNS = 8


@dataclass(slots=True)
class _Run:
    """A sequence inside the pipeline. ``repeats`` of its next tokens were delivered before.

    ``read`` tokens of a long prompt are in the cache; while ``reading``, more of it is on the way.
    """

    number: int
    sequence: Sequence
    repeats: int = 0
    returns: int = 0
    read: int = 0
    reading: bool = False


class OpenVinoEngine(SteppingEngine):
    """Continuous batching on a CPU: ``slots`` sequences decode together.

    ``kv_cache_gb`` GiB of KV cache bound the window; when several sequences together outgrow it
    some wait for their turn again, without a trace in their text. ``threads`` is for the matrix
    products (all of the processor's by default), ``max_batched_tokens`` bounds a step, and with it
    how long a long prompt holds up the others: prompts are read in pieces of at most a step each,
    and whoever came meanwhile is served between two of them.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        slots: int = 16,
        threads: int | None = None,
        kv_cache_gb: float = 1.0,
        max_batched_tokens: int = 512,
        window: int | None = None,
        chat_template: str | None = None,
        hang_after_s: float = 120.0,
    ) -> None:
        codec = TextCodec.from_folder(folder, chat_template)
        files = ModelFolder.read(folder)
        blocks = _kv_blocks(files, kv_cache_gb)
        bounds = (window, files.window, (blocks - 1) * KV_BLOCK_TOKENS)
        smallest = min(each for each in bounds if each is not None)
        super().__init__(codec, slots=slots, window=smallest, hang_after_s=hang_after_s)
        self._runs: dict[int, _Run] = {}
        self._numbers: dict[Sequence, int] = {}
        self._piece = _whole_blocks(max_batched_tokens - slots)
        self._next = 0
        self._admissions: list[Admission] = []
        self._drops: list[int] = []
        self._usage = 0.0
        self._process = GenaiProcess(
            Launch(
                model=str(_weights(files.path)),
                properties=_properties(threads),
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
        self._admit(_Run(self._next, sequence))

    def _admit(self, run: _Run) -> None:
        """Start or start again. A greedy sequence goes on behind its tokens, a drawn one repeats.

        The pipeline cannot be given a random state, so a drawn sequence starts from its seed and
        what was delivered already is checked instead of delivered.
        """
        self._next += 1
        run = replace(run, number=self._next)
        sequence, prompt = run.sequence, run.sequence.prompt_ids
        new_tokens, owed = sequence.max_new_tokens, sequence.min_new_tokens
        if sequence.sampling.greedy:
            prompt = (*prompt, *sequence.generated)
            new_tokens, owed = new_tokens - len(sequence.generated), sequence.owed
        else:
            run.repeats = len(sequence.generated)
        self._runs[run.number] = run
        self._numbers[sequence] = run.number
        if len(prompt) - run.read > 2 * self._piece:
            # The pipeline gives a whole step to the oldest prompt. Read in pieces that end, each
            # found in the prefix cache by the next, a long one goes to the back of the queue.
            run.read, run.reading = run.read + self._piece, True
            self._admissions.append(Admission(run.number, prompt[: run.read], _READ_ONLY))
            return
        run.reading = False
        settings = _settings(sequence, new_tokens, owed)
        self._admissions.append(Admission(run.number, prompt, settings))

    def _leave(self, sequence: Sequence) -> None:
        number = self._numbers.pop(sequence)
        del self._runs[number]
        self._drops.append(number)

    def _step(self) -> None:
        turn = Turn(tuple(self._admissions), tuple(self._drops))
        self._admissions.clear()
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
        if run is None:
            return
        if run.reading:
            del self._runs[number]
            self._admit(run)
        elif run.repeats == 0:
            run.returns = 0
            self._hand_over(run.sequence, token_id, self._detail(run.sequence, token_id, logprob))
        elif run.sequence.generated[-run.repeats] == token_id:
            run.repeats -= 1
        else:
            problem = Problem("unavailable", "The text could not be continued.")
            self._give_up(run.sequence, problem)

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
        """Seat a sequence again that lost its place to others.

        The pipeline throws out everyone when nothing could be scheduled, for instance while the
        memory of a cancelled sequence is not free yet. Each alone fits, since the window does.
        """
        run = self._runs.pop(number, None)
        if run is None:
            return
        if run.returns < _MOST_RETURNS:
            self._admit(replace(run, returns=run.returns + 1))
        else:
            self._runs[number] = run
            self._give_up(run.sequence, Problem("unavailable", "The model has no memory left."))

    def _abort(self) -> None:
        self._process.kill()

    def _release(self) -> None:
        self._process.close()

    def _kv_usage(self) -> float | None:
        return self._usage

    def _memory_bytes(self) -> int | None:
        return self._process.resident_bytes()


def _weights(folder: Path) -> Path:
    """The one GGUF file of a folder, or the folder itself when it holds an OpenVINO IR."""
    found = sorted(folder.glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if not found and (folder / "openvino_model.xml").is_file():
        return folder
    raise EngineNotLoaded(f"{folder} holds neither one GGUF file nor an OpenVINO IR")


def _kv_blocks(files: ModelFolder, gigabytes: float) -> int:
    values = files.kv_values_per_token()
    if values is None:
        raise EngineNotLoaded(f"{files.path}/config.json does not tell the size of the KV cache")
    blocks = int(gigabytes * 2**30) // (values * _KV_BYTES * KV_BLOCK_TOKENS)
    if blocks < 2:
        raise EngineNotLoaded(f"{gigabytes} GB of KV cache hold less than two blocks of tokens")
    return blocks


def _whole_blocks(tokens: int) -> int:
    """The prefix cache keeps whole blocks; at least one."""
    return max(1, tokens // KV_BLOCK_TOKENS) * KV_BLOCK_TOKENS


def _properties(threads: int | None) -> dict[str, Any]:
    """Exact arithmetic: with the plugin's defaults a text depends on what decodes beside it."""
    count = threads or usable_cores()
    return {
        "KV_CACHE_PRECISION": "f32",
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "INFERENCE_NUM_THREADS": count,
        "sampler_num_threads": count,
    }


def _settings(sequence: Sequence, new_tokens: int, owed: int) -> dict[str, Any]:
    sampling: Sampling = sequence.sampling
    settings: dict[str, Any] = {
        "max_new_tokens": new_tokens,
        "min_new_tokens": owed,
        "stop_token_ids": set(sequence.eos_ids),
        "ignore_eos": not sequence.eos_ids,
        "repetition_penalty": sampling.repetition_penalty,
        "logprobs": int(sampling.logprobs),
        "do_sample": not sampling.greedy,
    }
    if not sampling.greedy:
        settings |= {
            "temperature": sampling.temperature,
            "top_p": sampling.nucleus,
            "rng_seed": sequence.seed % 2**32,
        }
        if sampling.top_k:
            settings["top_k"] = sampling.top_k
    return settings
