"""Generation: causal language models, prompts and chats in, tokens out as they are decoded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from collections.abc import Sequence as Listed
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from configs.profile import ModelSpec
from deployments.engine import chat_summaries
from deployments.engine.factory import open_engine
from deployments.engine.grammar.constraint import Constraint, ConstraintError, GrammarCompiler
from deployments.engine.grammar.trial_queue import GrammarTrials, TooManyTrials
from deployments.engine.interface import (
    STOPPED,
    Engine,
    EngineHangs,
    EngineNotLoaded,
    EngineStopped,
)
from deployments.engine.prompts import PromptTokens, available_tokens, encode_prompt, unknown_token
from deployments.engine.sequence import Sequence
from deployments.engine.settings import EngineSettings
from deployments.engine.token_stream import StreamPacing
from deployments.metrics import signals
from deployments.metrics.meter import Meter
from deployments.metrics.report import MetricSample
from deployments.models.cache import ModelCache
from deployments.models.config import FamilyConfig
from deployments.models.device import claim_device, computes_in_half
from deployments.models.errors import ModelUnavailable
from deployments.models.lifecycle import Lifecycle
from deployments.models.memory import import_libraries
from deployments.models.pretrained import load_options
from deployments.seam.generation import (
    GeneratedSequence,
    GenerationRequest,
    GenerationResult,
    Grammar,
    Token,
    TokenChunk,
)
from deployments.seam.problems import Problem
from deployments.seam.replicas import LiveLimits
from deployments.seam.summarization import SummaryRequest, SummaryResult

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

TOKENIZING_THREADS = 2
ATTEMPTS = 2
"""Of a request whose engine ends: what the request itself ends is not loaded for it for ever."""

COMPILING_THREADS = 2
"""Of grammars that stood their trial: milliseconds for most."""


class Generation(Lifecycle[Engine]):
    """The deployment of the generation family. Each model decodes in its engine's own thread."""

    tasks: ClassVar[dict[str, str]] = {
        "generate": "continues a prompt",
        "chat": "answers messages, in conversations too",
        "summarize": "writes what a text says, in short",
    }

    def __init__(self, config: FamilyConfig) -> None:
        self._config = config
        self._thread = ThreadPoolExecutor(TOKENIZING_THREADS, thread_name_prefix="tokenize")
        self._compiling = ThreadPoolExecutor(COMPILING_THREADS, thread_name_prefix="grammar")
        self._trials = GrammarTrials()
        self._meter = Meter(config.ledger, self._gauges)
        self._pacing: StreamPacing | None = None
        self._refused: tuple[str, ...] = ()
        self._begin(
            ModelCache(
                config.models, _Loader(self), self._meter.model, config.settings.max_memory_gb
            )
        )

    def reconfigure(self, live: Mapping[str, Any]) -> None:
        """Nothing here changes on a running replica; Serve stops one that does not take this."""
        logger.error("%s has no live limits: user_config is ignored", self._config.name)
        self._refused = ("user_config: text generation has no live limits",)

    def live_limits(self) -> LiveLimits:
        """There are none; whoever gave some is told."""
        return LiveLimits(self._config.name, {}, self._refused)

    async def check_health(self) -> None:
        """Load again what died. Raises where only another replica can help.

        That is when an engine hangs and cannot be ended, or died too often.
        """
        self._meter.start()
        for loaded in self._residency.loaded:
            if not _dead(loaded.model):
                loaded.model.check()
        self._residency.reload_dead()
        self._settle()

    async def generate(self, request: GenerationRequest) -> GenerationResult | Problem:
        """The whole answer, every choice of it."""
        tokens: list[list[Token]] = [[] for _ in range(request.choices)]
        prompt_tokens, device = 0, ""
        async with aclosing(self._chunks(request)) as chunks:
            async for item in chunks:
                if isinstance(item, Problem):
                    return item
                prompt_tokens, device = item.prompt_tokens, item.device
                for token in item.tokens:
                    tokens[token.choice].append(token)
        choices = tuple(_choice(of_choice) for of_choice in tokens)
        return GenerationResult(prompt_tokens, choices, device)

    async def stream(
        self, request: GenerationRequest
    ) -> AsyncGenerator[TokenChunk | Problem, None]:
        """Tokens as they come; those that became ready together travel together.

        A problem ends the stream. Closing the stream stops the decoding within one step.
        """
        async with aclosing(self._chunks(request)) as chunks:
            async for item in chunks:
                yield item

    async def summarize(self, request: SummaryRequest) -> SummaryResult:
        """Summaries by a chat model; a text that does not fit fails alone."""
        at_once = self._config.settings.max_concurrent_requests
        return await chat_summaries.summarize(request, self.generate, at_once)

    async def _chunks(
        self, request: GenerationRequest
    ) -> AsyncGenerator[TokenChunk | Problem, None]:
        """What came, also across one end of the engine: it is loaded again, and the texts go on."""
        try:
            for _ in range(ATTEMPTS):
                interrupted: Interrupted | None = None
                async with (
                    self._residency.use(request.model) as engine,
                    aclosing(self._begun(engine, request)) as items,
                ):
                    async for item in items:
                        if isinstance(item, Interrupted):
                            interrupted = item
                        else:
                            yield item
                if interrupted is None:
                    return
                request = replace(request, delivered=interrupted.delivered)
            yield STOPPED
        except ModelUnavailable as error:
            yield error.problem

    async def _begun(
        self, engine: Engine, request: GenerationRequest
    ) -> AsyncGenerator[TokenChunk | Problem | Interrupted, None]:
        start = await self._start(engine, request)
        if isinstance(start, Problem):
            yield start
            return
        decoded = _decoded(engine, request, start, self._stream_pacing(), self._meter)
        async with aclosing(decoded) as chunks:
            async for item in chunks:
                yield item

    def _stream_pacing(self) -> StreamPacing:
        if self._pacing is None:
            self._pacing = StreamPacing(asyncio.get_running_loop())
        return self._pacing

    async def _start(self, engine: Engine, request: GenerationRequest) -> PromptTokens | Problem:
        """Where the request's texts begin, or why there can be none."""
        loop = asyncio.get_running_loop()
        ids = await loop.run_in_executor(self._thread, encode_prompt, engine, request)
        if isinstance(ids, Problem):
            return ids
        problem = unknown_token(request.sampling.logit_bias, engine, "logit_bias")
        if problem is not None:
            return problem
        left = available_tokens(len(ids), engine.window, request)
        if isinstance(left, Problem):
            return left
        prompt = tuple(ids)  # shared by all choices
        if request.grammar is None:
            return PromptTokens(prompt, left)
        constraint = await self._constraint(engine.grammars, request.grammar)
        return (
            constraint
            if isinstance(constraint, Problem)
            else PromptTokens(prompt, left, constraint)
        )

    async def _constraint(
        self, grammars: GrammarCompiler, grammar: Grammar
    ) -> Constraint | Problem:
        known = grammars.cached(grammar)
        if known is not None:
            return known
        loop = asyncio.get_running_loop()
        try:
            await self._trials.check(grammar)
            return await loop.run_in_executor(self._compiling, grammars.compile, grammar)
        except TooManyTrials as error:
            return Problem("overloaded", str(error))
        except TimeoutError as error:
            return Problem("unavailable", str(error))
        except ConstraintError as error:
            field = "grammar" if error.part is None else f"grammar.{error.part}"
            return Problem("validation", f"the text cannot be held to it: {error}", field)

    def _fetch(self, spec: ModelSpec) -> Path:
        """The folder of the model's files, downloaded where it is not here yet."""
        return self._config.folder(spec)

    def _prepare(self, spec: ModelSpec) -> None:
        """Import what opens the model before its memory is measured."""
        if "torch" in spec.engines:
            import_libraries("transformers.modeling_utils", "deployments.engine.torch_runner")

    def _load(self, spec: ModelSpec) -> Engine:
        settings = EngineSettings(
            slots=spec.slots or self._config.settings.max_concurrent_requests,
            threads=self._config.threads,
            kv_cache_gb=spec.kv_cache_gb,
            window=spec.window,
            max_batched_tokens=spec.prefill_tokens,
            hang_after_s=self._config.settings.stall_timeout_s,
            chat_template=spec.template(),
        )
        (kind,) = spec.engines
        if kind == "torch":
            device = claim_device(self._config)
            options = load_options(self._config, spec, device)
            settings = replace(settings, device=device, options=options)
        engine = open_engine(kind, self._config.folder(spec), settings)
        if spec.tool_calls and not engine.codec.shows_tools:
            engine.close()
            raise EngineNotLoaded(f"the chat template of {spec.name} shows no tools to the model")
        return engine

    def _gauges(self) -> Iterator[MetricSample]:
        for loaded in self._residency.loaded:
            name, load = loaded.spec.name, loaded.model.load()
            yield signals.MEMORY.of(name, amount=load.memory_bytes or loaded.host_bytes)
            yield signals.SLOTS.of(name, amount=load.slots)
            yield signals.SLOTS_IN_USE.of(name, amount=load.running)
            yield signals.WAITING.of(name, amount=load.waiting)
            if load.kv_usage is not None:
                yield signals.KV_USAGE.of(name, amount=load.kv_usage)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The engine ended. ``delivered`` is as in :class:`GenerationRequest`."""

    delivered: tuple[tuple[int, ...] | None, ...]


class _Loader:
    """How the model cache loads the engines of the family."""

    def __init__(self, family: Generation) -> None:
        self._family = family

    def fetch(self, spec: ModelSpec) -> Path:
        return self._family._fetch(spec)

    def prepare(self, spec: ModelSpec) -> None:
        self._family._prepare(spec)

    def load(self, spec: ModelSpec) -> Engine:
        return self._family._load(spec)

    def unload(self, model: Engine) -> None:
        model.close()

    def is_dead(self, model: Engine) -> bool:
        return _dead(model)

    def process_id(self, model: Engine) -> int | None:
        return model.process_id

    def engine_name(self, spec: ModelSpec, model: Engine) -> str:
        return spec.engines[0]

    def computes_in_half(self, spec: ModelSpec) -> bool:
        return computes_in_half(self._family._config, spec)


def _dead(engine: Engine) -> bool:
    """Whether it ended, so that the model has to be loaded again."""
    try:
        engine.check()
    except EngineHangs:
        return False
    except EngineStopped:
        return True
    return False


async def _decoded(
    engine: Engine,
    request: GenerationRequest,
    start: PromptTokens,
    pacing: StreamPacing,
    meter: Meter,
) -> AsyncGenerator[TokenChunk | Problem | Interrupted, None]:
    """Chunks of all choices together, until each has finished."""
    submitted = time.monotonic()

    def admitted() -> None:
        meter.admitted(request.model, time.monotonic() - submitted)

    buffer = pacing.new_buffer()
    delivered = request.delivered or ((),) * request.choices
    sequences = [
        Sequence(
            prompt_ids=start.ids,
            sampling=request.sampling,
            max_new_tokens=start.max_new_tokens,
            min_new_tokens=request.min_new_tokens,
            codec=engine.codec,
            stop=request.stop,
            stop_after_tool_call=request.stop_after_tool_call,
            choice=choice,
            request_id=request.request_id,
            resume_ids=already,
            constraint=start.constraint.fresh() if start.constraint else None,
            on_token=buffer.put,
            on_failure=buffer.put,
            on_admitted=admitted,
        )
        for choice, already in enumerate(delivered)
        if already is not None
    ]
    try:
        try:
            for sequence in sequences:
                engine.submit(sequence)
        except EngineStopped:  # some may have begun by then, but nothing of it was handed on
            yield Interrupted(delivered)
            return
        open_choices = len(sequences)
        while open_choices:
            tokens, problem = await buffer.take()
            if tokens:
                open_choices -= sum(token.finish_reason is not None for token in tokens)
                yield TokenChunk(len(start.ids), tokens, engine.device)
            if problem is not None:
                yield _interrupted(delivered, sequences) if problem == STOPPED else problem
                return
    finally:
        for sequence in sequences:
            engine.cancel(sequence)


def _interrupted(
    delivered: Listed[tuple[int, ...] | None], sequences: Iterable[Sequence]
) -> Interrupted:
    running = {each.choice: each for each in sequences if each.finish_reason is None}
    going = (running.get(choice) for choice in range(len(delivered)))
    return Interrupted(tuple(None if each is None else tuple(each.generated) for each in going))


def _choice(tokens: list[Token]) -> GeneratedSequence:
    told = [token for token in tokens if token.logprob is not None]
    return GeneratedSequence(
        text="".join(token.text for token in tokens),
        finish_reason=tokens[-1].finish_reason or "stop",
        tokens=len(tokens),
        logprobs=tuple(token.logprob for token in told if token.logprob is not None),
        stop_string=tokens[-1].stop_string,
        special=tuple(token.special for token in told),
    )
