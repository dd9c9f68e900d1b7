"""What every family of encoders shares: texts to tokens, tokens to the lane, answers in order."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from ray import serve

from configs.profile import Live, ModelSpec
from deployments.base import FamilyConfig, claim_device, load_options
from deployments.lane import Lane
from deployments.metrics import signals
from deployments.metrics.meter import Meter
from deployments.metrics.report import Sample
from deployments.residency import Residency
from deployments.seam import Problem
from deployments.texts import Pairs, TokenizedText, tokenize, tokenize_pairs

R = TypeVar("R")
T = TypeVar("T")
P = ParamSpec("P")
ADMITTED_TOGETHER = 1024
"""Requests that ``@serve.batch`` hands over in one go; the model's batch is cut by the lane."""

HEADS = ("classifier", "score", "classification_head")
"""What transformers calls the layers above the encoder. It would quantise them, although they are
small, decide the answer, and have fewer rows than some of bitsandbytes' kernels take."""


@dataclass(slots=True)
class Encoder(Generic[R]):
    """One loaded model: its tokenizer, its limit in tokens a text, and the lane to it."""

    tokenizer: Any
    max_tokens: int
    lane: Lane[TokenizedText, R]

    def close(self) -> None:
        self.lane.close()


class EncoderFamily(ABC, Generic[R]):
    """A deployment of encoders. A family says how a model is loaded and what an answer is."""

    def __init__(self, config: FamilyConfig) -> None:
        self._config = config
        self._batch = config.settings.batch_size
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._meter = Meter(config.ledger, self._gauges)
        self._residency: Residency[Encoder[R]] = Residency(
            config.models,
            self._load,
            Encoder.close,
            config.settings.max_memory_gb,
            self._meter.model,
        )
        self._residency.pin()

    @abstractmethod
    def load(self, folder: Path, spec: ModelSpec) -> tuple[Any, int, Any]:
        """The tokenizer, the limit in tokens a text, and the function that answers a batch."""

    def reconfigure(self, live: Mapping[str, Any]) -> None:
        """Batch size and wait, changed on a running replica by Serve's ``user_config``."""
        limits = Live.model_validate(dict(live))
        self._batch = limits.max_batch_size
        for resident in self._residency.residents:
            resident.model.lane.max_items = self._batch
        admit: Any = self._admit  # Serve's decorator adds the method below
        admit.set_batch_wait_timeout_s(limits.batch_wait_timeout_s)

    async def check_health(self) -> None:
        """Raises when a forward has been running for longer than any may."""
        self._meter.start()
        for resident in self._residency.residents:
            resident.model.lane.check(self._config.settings.stall_timeout_s)

    async def _answers(
        self,
        encoder: Encoder[R],
        texts: Sequence[str],
        *,
        truncate: bool,
        batch_size: int | None = None,
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """One answer or problem a text, in order, and the tokens that each text has.

        At most ``batch_size`` texts of this request are in one forward.
        """
        tokenizer, limit = encoder.tokenizer, encoder.max_tokens
        tokenized = await self._in_thread(tokenize, tokenizer, texts, limit, truncate=truncate)
        return await self._forwarded(encoder, tokenized, batch_size), _counts(tokenized)

    async def _pair_answers(
        self, encoder: Encoder[R], pairs: Pairs, *, truncate: bool
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """The same for pairs of texts that the model reads together."""
        tokenizer, limit = encoder.tokenizer, encoder.max_tokens
        tokenized = await self._in_thread(
            tokenize_pairs, tokenizer, pairs, limit, truncate=truncate
        )
        return await self._forwarded(encoder, tokenized), _counts(tokenized)

    async def _forwarded(
        self,
        encoder: Encoder[R],
        tokenized: Sequence[TokenizedText | Problem],
        batch_size: int | None = None,
    ) -> list[R | Problem]:
        """One answer a tokenized text, in order; problems stay where they are."""
        answers: list[R | Problem] = [
            text if isinstance(text, Problem) else UNANSWERED for text in tokenized
        ]
        good = [i for i, text in enumerate(tokenized) if isinstance(text, TokenizedText)]
        step = batch_size or max(1, len(good))
        for start in range(0, len(good), step):
            chosen = good[start : start + step]
            job = Job(encoder.lane, [tokenized[i] for i in chosen])
            for i, answer in zip(chosen, await _all(await self._admit(job)), strict=True):
                answers[i] = answer
        return answers

    async def _in_thread(self, function: Callable[P, T], *given: P.args, **options: P.kwargs) -> T:
        """Tokenizing and its like: off the event loop, and beside the model."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(function, *given, **options))

    @serve.batch(max_batch_size=ADMITTED_TOGETHER, batch_wait_timeout_s=0.0)
    async def _admit(self, jobs: list[Job]) -> list[list[asyncio.Future[Any]]]:
        """Admission only: the futures come back at once, the batch is formed behind them."""
        return [job.lane.admit(job.items) for job in jobs]

    def _opened(
        self, auto_class: str, folder: Path, spec: ModelSpec, unquantised: Sequence[str] = ()
    ) -> tuple[Any, Any, str]:
        """Tokenizer, model ready to answer, and its device, by a class of transformers."""
        import transformers

        device = claim_device(self._config)
        options = load_options(self._config, spec, device, unquantised)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=options["trust_remote_code"]
        )
        model = getattr(transformers, auto_class).from_pretrained(folder, **options)
        return tokenizer, model.to(device).eval(), device

    def _load(self, spec: ModelSpec) -> Encoder[R]:
        tokenizer, max_tokens, run = self.load(self._config.folder(spec), spec)
        observe = partial(self._meter.batch, spec.name)
        lane: Lane[TokenizedText, R] = Lane(spec.name, run, len, self._batch, observe)
        return Encoder(tokenizer, spec.max_tokens or max_tokens, lane)

    def _gauges(self) -> Iterator[Sample]:
        for resident in self._residency.residents:
            name = resident.spec.name
            yield signals.MEMORY.of(name, amount=resident.host_bytes)
            yield signals.WAITING.of(name, amount=resident.model.lane.depth)


@dataclass(frozen=True, slots=True)
class Job:
    lane: Lane[Any, Any]
    items: list[Any]


UNANSWERED = Problem("internal", "the model gave no answer")


def _counts(tokenized: Sequence[TokenizedText | Problem]) -> tuple[int, ...]:
    return tuple(0 if isinstance(text, Problem) else len(text) for text in tokenized)


async def _all(futures: list[asyncio.Future[Any]]) -> list[Any]:
    """Every answer; when the asker is cancelled, what still waits leaves the queue."""
    try:
        return await asyncio.gather(*futures)
    finally:
        for future in futures:
            future.cancel()
