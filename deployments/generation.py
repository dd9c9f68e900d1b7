"""Generation: causal language models, prompts and chats in, tokens out as they are decoded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from deployments.engine import chat_summaries, decisions
from deployments.engine.engine_loader import EngineLoader
from deployments.engine.image_prompts import ImagePrompts
from deployments.engine.interface import STOPPED, Engine
from deployments.engine.prompt_preprocessor import PromptPreprocessor
from deployments.engine.prompts import prompt_characters
from deployments.engine.token_chunks import Interrupted, token_chunks
from deployments.engine.token_stream import StreamPacing
from deployments.engine.tokenizing import detokenized, tokenized, with_texts
from deployments.metrics.meter import Meter
from deployments.metrics.stage_recorder import StageRecorder, recorder_here
from deployments.models.config import FamilyConfig
from deployments.models.errors import ModelUnavailable, unavailable_as_problem
from deployments.models.family import FamilyDeployment
from deployments.seam.decisions import DecisionQuestion, DecisionRequest, DecisionResult
from deployments.seam.generation import (
    GeneratedSequence,
    GenerationRequest,
    GenerationResult,
    Token,
    TokenChunk,
)
from deployments.seam.problems import Problem
from deployments.seam.replicas import LiveLimits
from deployments.seam.summarization import SummaryRequest, SummaryResult
from deployments.seam.timings import CallTiming
from deployments.seam.tokenization import (
    DetokenizeRequest,
    DetokenizeResult,
    TokenizeRequest,
    TokenizeResult,
)

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

MAX_ATTEMPTS = 2
"""Attempts in a row, at a request whose engine stops, that decode nothing. The request itself may
be what stops it."""

MAX_ENGINES = 4
"""Attempts at a request whose engine stops, however far each of them comes."""


class Generation(FamilyDeployment[Engine]):
    """The deployment of the generation family. Each model decodes in its engine's own thread."""

    tasks: ClassVar[dict[str, str]] = {
        "generate": "continues a prompt",
        "chat": "answers messages, in conversations too",
        "summarize": "writes what a text says, in short",
    }

    def __init__(self, config: FamilyConfig, loader: EngineLoader | None = None) -> None:
        super().__init__(
            config, loader or EngineLoader(config), NoLiveLimits(config.name), Meter(config.ledger)
        )
        self._max_requests = config.settings.max_concurrent_requests
        self._images = ImagePrompts(config.settings)
        self._prompts = PromptPreprocessor(self._images)
        self._pacing: StreamPacing | None = None

    async def generate(
        self, request: GenerationRequest, *, admitted: bool = False
    ) -> GenerationResult | Problem:
        """The whole answer, every choice of it. ``admitted`` as for :meth:`ModelCache.use`."""
        tokens: list[list[Token]] = [[] for _ in range(request.choices)]
        prompt_tokens, device = 0, ""
        async with aclosing(self.stream(request, admitted=admitted)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Problem):
                    return chunk
                prompt_tokens, device = chunk.prompt_tokens, chunk.device
                for token in chunk.tokens:
                    tokens[token.choice].append(token)
        choices = tuple(_sequence(of_choice) for of_choice in tokens)
        return GenerationResult(prompt_tokens, choices, device)

    async def stream(
        self, request: GenerationRequest, *, admitted: bool = False
    ) -> AsyncGenerator[TokenChunk | Problem, None]:
        """Chunks of tokens as they are decoded; tokens that are ready together share a chunk.

        A problem ends the stream. Closing the stream stops the decoding within one step. When the
        engine stops, it is loaded again, and the texts are continued.
        """
        recorder = recorder_here()
        try:
            delivered, fruitless = request.delivered or ((),) * request.choices, 0
            for _ in range(MAX_ENGINES):
                interrupted: Interrupted | None = None
                async with (
                    self._models.use(request.model, admitted=admitted) as engine,
                    aclosing(self._chunks(engine, request, recorder)) as chunks,
                ):
                    async for chunk in chunks:
                        if isinstance(chunk, Interrupted):
                            interrupted = chunk
                        else:
                            yield chunk
                if interrupted is None:
                    return
                if interrupted.delivered != delivered:
                    fruitless = 0
                elif interrupted.admitted:
                    fruitless += 1
                if fruitless == MAX_ATTEMPTS:
                    break
                delivered = interrupted.delivered
                request = replace(request, delivered=delivered)
            yield STOPPED
        except ModelUnavailable as error:
            yield error.problem

    async def timed_stream(
        self, request: GenerationRequest
    ) -> AsyncGenerator[TokenChunk | Problem | CallTiming, None]:
        """As :meth:`stream`, with the timing of a recorded call just before the last chunk."""
        recorder, open_choices = recorder_here(), _open_choices(request)
        async with aclosing(self.stream(request)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, TokenChunk):
                    open_choices -= sum(each.finish_reason is not None for each in chunk.tokens)
                    if recorder is not None and not open_choices:
                        yield recorder.timing()
                yield chunk

    @unavailable_as_problem
    async def summarize(self, request: SummaryRequest) -> SummaryResult | Problem:
        """Summaries by a chat model; a text that does not fit fails alone."""
        generate = partial(self.generate, admitted=True)
        async with self._models.use(request.model):
            return await chat_summaries.summarize(request, generate, self._max_requests)

    @unavailable_as_problem
    async def decide(self, request: DecisionRequest) -> DecisionResult | Problem:
        """The probabilities of the options of questions about a state; nothing is decoded."""
        as_prompt = partial(decisions.question_prompt, request=request)
        length = await asyncio.to_thread(lambda: len(str(request.state)))

        async def tokenize(question: DecisionQuestion) -> decisions.QuestionPrompt | Problem:
            async with self._models.use(request.model, admitted=True) as engine:
                own = request.request_id
                return await self._prompts.in_thread(as_prompt, engine, question, length, own)

        generate = partial(self.generate, admitted=True)
        async with self._models.use(request.model):
            return await decisions.decide(request, tokenize, generate, self._max_requests)

    @unavailable_as_problem
    async def tokenize(self, request: TokenizeRequest) -> TokenizeResult | Problem:
        """The token ids of a prompt or a chat; nothing is decoded."""
        async with self._models.use(request.model) as engine:
            chat = GenerationRequest("", request.model, messages=request.messages)
            if not chat.images:
                length = prompt_characters(request.prompt, request.messages)
                return await self._prompts.in_thread(tokenized, engine, request, length)
            with self._images.reserve_files(chat):
                encoded = await self._images.encode(engine, replace(chat, tools=request.tools))
            if isinstance(encoded, Problem):
                return encoded
            return await self._prompts.in_thread(with_texts, engine, encoded.ids, len(encoded.ids))

    @unavailable_as_problem
    async def detokenize(self, request: DetokenizeRequest) -> DetokenizeResult | Problem:
        """The text of token ids."""
        async with self._models.use(request.model) as engine:
            return await self._prompts.in_thread(detokenized, engine, request, len(request.ids))

    async def _chunks(
        self, engine: Engine, request: GenerationRequest, recorder: StageRecorder | None
    ) -> AsyncGenerator[TokenChunk | Problem | Interrupted, None]:
        began = time.monotonic()
        with self._images.reserve_files(request), self._meter.preprocessing(request.model):
            prompt = await self._prompts.preprocess(engine, request)
        if recorder is not None:
            recorder.add("tokenize", began, time.monotonic())
        if isinstance(prompt, Problem):
            yield prompt
            return
        if self._pacing is None:
            self._pacing = StreamPacing(asyncio.get_running_loop())
        with self._images.reserve_tensors(request, prompt.inputs):
            decoded = token_chunks(engine, request, prompt, self._pacing, self._meter, recorder)
            async with aclosing(decoded) as chunks:
                async for chunk in chunks:
                    yield chunk


class NoLiveLimits:
    """Text generation has no limits that can change on a running replica."""

    def __init__(self, family: str) -> None:
        self._family = family
        self._refused: tuple[str, ...] = ()

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Ignore ``user_config``, and log and report that. Serve requires this method."""
        logger.error("%s has no live limits: user_config is ignored", self._family)
        self._refused = ("user_config: text generation has no live limits",)

    def live_limits(self) -> LiveLimits:
        return LiveLimits(self._family, {}, self._refused)

    def check_health(self) -> None:
        """There is nothing to check beside the models."""


def _open_choices(request: GenerationRequest) -> int:
    """Choices that are not finished; some are where another replica began the answer."""
    delivered = request.delivered or ((),) * request.choices
    return sum(tokens is not None for tokens in delivered)


def _sequence(tokens: list[Token]) -> GeneratedSequence:
    with_logprob = [token for token in tokens if token.logprob is not None]
    return GeneratedSequence(
        text="".join(token.text for token in tokens),
        finish_reason=tokens[-1].finish_reason or "stop",
        tokens=len(tokens),
        logprobs=tuple(token.logprob for token in with_logprob if token.logprob is not None),
        stop_string=tokens[-1].stop_string,
        special=tuple(token.special for token in with_logprob),
    )
