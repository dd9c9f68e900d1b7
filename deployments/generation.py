"""Generation: causal language models, prompts and chats in, tokens out as they are decoded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configs.profile import ModelSpec
from deployments import chat_summaries
from deployments.base import FamilyConfig, ModelUnavailable, claim_device, load_options
from deployments.engine.constraint import Constraint, ConstraintError, Grammars
from deployments.engine.interface import Engine, EngineNotLoaded, EngineStopped
from deployments.engine.opening import EngineSettings, open_engine
from deployments.engine.sequence import Sequence
from deployments.engine.trials import TooManyTrials, Trials
from deployments.lifecycle import Lifecycle
from deployments.memory import import_libraries
from deployments.metrics import signals
from deployments.metrics.meter import Meter
from deployments.metrics.report import Sample
from deployments.outbox import Way
from deployments.residency import Residency
from deployments.seam import (
    Burst,
    Choice,
    Generated,
    GenerationRequest,
    Grammar,
    Problem,
    Summarised,
    SummaryRequest,
    Token,
)

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

TOKENIZING_THREADS = 2
COMPILING_THREADS = 2
"""Of grammars that stood their trial: milliseconds for most."""


class Generation(Lifecycle[Engine]):
    """The deployment of the generation family. Each model decodes in its engine's own thread."""

    def __init__(self, config: FamilyConfig) -> None:
        self._config = config
        self._thread = ThreadPoolExecutor(TOKENIZING_THREADS, thread_name_prefix="tokenize")
        self._compiling = ThreadPoolExecutor(COMPILING_THREADS, thread_name_prefix="grammar")
        self._trials = Trials()
        self._meter = Meter(config.ledger, self._gauges)
        self._out: Way | None = None
        self._begin(
            Residency(
                config.models,
                self._load,
                lambda engine: engine.close(),
                config.settings.max_memory_gb,
                self._meter.model,
                fetch=self._fetch,
                process=lambda engine: engine.process_id,
            )
        )

    def reconfigure(self, live: Mapping[str, Any]) -> None:
        """Nothing here changes on a running replica; Serve stops one that does not take this."""
        logger.error("%s has no live limits: user_config is ignored", self._config.name)

    async def check_health(self) -> None:
        """Raises when an engine's thread is dead: its replica is then replaced."""
        self._meter.start()
        for resident in self._residency.residents:
            resident.model.check()
        self._settle()

    async def generate(self, request: GenerationRequest) -> Generated | Problem:
        """The whole answer, every choice of it."""
        tokens: list[list[Token]] = [[] for _ in range(request.choices)]
        prompt_tokens, device = 0, ""
        async with aclosing(self._bursts(request)) as bursts:
            async for item in bursts:
                if isinstance(item, Problem):
                    return item
                prompt_tokens, device = item.prompt_tokens, item.device
                for token in item.tokens:
                    tokens[token.choice].append(token)
        choices = tuple(_choice(of_choice) for of_choice in tokens)
        return Generated(prompt_tokens, choices, device)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Burst | Problem, None]:
        """Tokens as they come; those that became ready together travel together.

        A problem ends the stream. Closing the stream stops the decoding within one step.
        """
        async with aclosing(self._bursts(request)) as bursts:
            async for item in bursts:
                yield item

    async def summarize(self, request: SummaryRequest) -> Summarised:
        """Summaries by a chat model; a text that does not fit fails alone."""
        at_once = self._config.settings.max_concurrent_requests
        return await chat_summaries.summarize(request, self.generate, at_once)

    async def _bursts(self, request: GenerationRequest) -> AsyncGenerator[Burst | Problem, None]:
        try:
            async with self._residency.use(request.model) as engine:
                start = await self._start(engine, request)
                if isinstance(start, Problem):
                    yield start
                    return
                decoded = _decoded(engine, request, start, self._way(), self._meter)
                async with aclosing(decoded) as bursts:
                    async for item in bursts:
                        yield item
        except ModelUnavailable as error:
            yield error.problem

    def _way(self) -> Way:
        if self._out is None:
            self._out = Way(asyncio.get_running_loop())
        return self._out

    async def _start(self, engine: Engine, request: GenerationRequest) -> Start | Problem:
        """Where the request's texts begin, or why there can be none."""
        loop = asyncio.get_running_loop()
        ids = await loop.run_in_executor(self._thread, _encoded, engine, request)
        if isinstance(ids, Problem):
            return ids
        unknown = _unknown(request.sampling.logit_bias, engine, "logit_bias")
        if unknown is not None:
            return unknown
        room = _room(len(ids), engine.window, request)
        if isinstance(room, Problem):
            return room
        if request.grammar is None:
            return Start(ids, room)
        constraint = await self._constraint(engine.grammars, request.grammar)
        return constraint if isinstance(constraint, Problem) else Start(ids, room, constraint)

    async def _constraint(self, grammars: Grammars, grammar: Grammar) -> Constraint | Problem:
        known = grammars.known(grammar)
        if known is not None:
            return known
        loop = asyncio.get_running_loop()
        try:
            await self._trials.admit(grammar)
            return await loop.run_in_executor(self._compiling, grammars.compile, grammar)
        except TooManyTrials as error:
            return Problem("overloaded", str(error))
        except TimeoutError as error:
            return Problem("unavailable", str(error))
        except ConstraintError as error:
            field = "grammar" if error.part is None else f"grammar.{error.part}"
            return Problem("validation", f"the text cannot be held to it: {error}", field)

    def _fetch(self, spec: ModelSpec) -> Path:
        """The model's files, at hand, and imported what opens them: that is not the model's."""
        if "torch" in spec.engines:
            import_libraries("transformers.modeling_utils", "deployments.engine.torch_batch")
        return self._config.folder(spec)

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

    def _gauges(self) -> Iterator[Sample]:
        for resident in self._residency.residents:
            name, load = resident.spec.name, resident.model.load()
            yield signals.MEMORY.of(name, amount=load.memory_bytes or resident.host_bytes)
            yield signals.SLOTS.of(name, amount=load.slots)
            yield signals.SLOTS_IN_USE.of(name, amount=load.active)
            yield signals.WAITING.of(name, amount=load.waiting)
            if load.kv_usage is not None:
                yield signals.KV_USAGE.of(name, amount=load.kv_usage)


@dataclass(frozen=True, slots=True)
class Start:
    """A prompt's token ids, how many new ones may follow, and what they have to be."""

    prompt: list[int]
    room: int
    constraint: Constraint | None = None


def _encoded(engine: Engine, request: GenerationRequest) -> list[int] | Problem:
    codec, messages = engine.codec, request.messages
    if request.prompt_ids is not None:
        unknown = _unknown(request.prompt_ids, engine, "prompt")
        return list(request.prompt_ids) if unknown is None else unknown
    try:
        if messages is not None:
            room = engine.window - (request.max_new_tokens or 1)
            if request.trim_oldest:
                messages = codec.newest(messages, room)
            if request.truncate:
                messages = codec.shortened(messages, room)
            return codec.encode_chat(messages, request.tools)
        ids = codec.encode(request.prompt or "")
        return ids if request.keep_last is None else ids[-request.keep_last :]
    except ValueError as error:
        return Problem("validation", str(error), "prompt")


def _unknown(ids: Iterable[int], engine: Engine, field: str) -> Problem | None:
    """The problem with the first token that the model does not have."""
    size = engine.codec.vocab_size
    unknown = next((token for token in ids if not 0 <= token < size), None)
    if unknown is None:
        return None
    return Problem("validation", f"the model has no token {unknown}: it knows {size}", field)


def _room(prompt: int, window: int, request: GenerationRequest) -> int | Problem:
    """How many new tokens fit; nothing is ever cut off the prompt to make room."""
    if prompt == 0:
        return Problem("validation", "the prompt has no tokens", "prompt")
    if prompt >= window:
        message = f"the prompt has {prompt} tokens; the model's window is {window}"
        return Problem("validation", f"{message} and leaves no room for an answer", "prompt")
    if request.max_length is not None and prompt >= request.max_length:
        message = f"the prompt has {prompt} tokens, which leaves none of {request.max_length}"
        return Problem("validation", message, "max_length")
    wanted = request.max_new_tokens
    if wanted is not None and prompt + wanted > window:
        message = f"{wanted} new tokens after a prompt of {prompt} pass the window of {window}"
        return Problem("validation", message, "max_new_tokens")
    bounds = [window, request.max_length or window, prompt + (wanted or window)]
    return min(bounds) - prompt


async def _decoded(
    engine: Engine, request: GenerationRequest, start: Start, way: Way, meter: Meter
) -> AsyncGenerator[Burst | Problem, None]:
    """Bursts of all choices together, until each has finished."""
    submitted = time.monotonic()

    def seated() -> None:
        meter.seated(request.model, time.monotonic() - submitted)

    outbox = way.outbox()
    delivered = request.delivered or ((),) * request.choices
    sequences = [
        Sequence(
            prompt_ids=start.prompt,
            sampling=request.sampling,
            max_new_tokens=start.room,
            min_new_tokens=request.min_new_tokens,
            codec=engine.codec,
            stop=request.stop,
            last_call=request.last_call,
            choice=choice,
            resume_ids=already,
            constraint=start.constraint.fresh() if start.constraint else None,
            deliver=outbox.put,
            fail=outbox.put,
            seated=seated,
        )
        for choice, already in enumerate(delivered)
        if already is not None
    ]
    try:
        try:
            for sequence in sequences:
                engine.submit(sequence)
        except EngineStopped:
            yield Problem("unavailable", "the model is restarting")
            return
        open_choices = len(sequences)
        while open_choices:
            tokens, problem = await outbox.take()
            if tokens:
                open_choices -= sum(token.finish_reason is not None for token in tokens)
                yield Burst(len(start.prompt), tokens, engine.device)
            if problem is not None:
                yield problem
                return
    finally:
        for sequence in sequences:
            engine.cancel(sequence)


def _choice(tokens: list[Token]) -> Choice:
    return Choice(
        text="".join(token.text for token in tokens),
        finish_reason=tokens[-1].finish_reason or "stop",
        tokens=len(tokens),
        logprobs=tuple(token.logprob for token in tokens if token.logprob is not None),
        stop_string=tokens[-1].stop_string,
    )
