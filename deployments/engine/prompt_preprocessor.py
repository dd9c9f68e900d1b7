"""Preprocesses the prompts of requests for an engine: tokens, their limit, the compiled grammar."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import uuid4

from deployments.engine.grammar.compiler import GrammarCompiler
from deployments.engine.grammar.constraint import Constraint, ConstraintError
from deployments.engine.grammar.trial_queue import GrammarTrials, TooManyTrials
from deployments.engine.image_prompts import ImagePrompt, ImagePrompts
from deployments.engine.interface import Engine
from deployments.engine.prompts import (
    PromptTokens,
    available_tokens,
    encode_prompt,
    prompt_characters,
    unknown_token,
)
from deployments.engine.sequence import NO_INPUTS
from deployments.engine.tokenizing_queue import TokenizingQueue
from deployments.engine.tuning import COMPILING_THREADS, TOKENIZING_THREADS
from deployments.models.thread_priority import lower_thread_priority
from deployments.seam.generation import GenerationRequest, Grammar
from deployments.seam.problems import Problem

T = TypeVar("T")
R = TypeVar("R")


class PromptPreprocessor:
    """Tokenizes prompts and compiles grammars in threads of its own.

    Prompts are queued by their lengths (:mod:`~deployments.engine.tokenizing_queue`).
    """

    def __init__(self, images: ImagePrompts) -> None:
        self._images = images
        self._tokenizing = ThreadPoolExecutor(
            TOKENIZING_THREADS, "tokenize", initializer=lower_thread_priority
        )
        self._queue = TokenizingQueue(TOKENIZING_THREADS)
        self._compiling = ThreadPoolExecutor(COMPILING_THREADS, thread_name_prefix="grammar")
        self._trials = GrammarTrials()

    async def preprocess(
        self, engine: Engine, request: GenerationRequest
    ) -> PromptTokens | Problem:
        """The prompt of a request, or why ``engine`` cannot answer it.

        Raises :class:`~deployments.models.errors.Overloaded` where too many images wait.
        """
        encoded = await self._encoded(engine, request)
        if isinstance(encoded, Problem):
            return encoded
        ids, inputs = encoded.ids, encoded.inputs
        problem = unknown_token(request.sampling.logit_bias, engine, "logit_bias")
        problem = problem or unknown_token(
            request.sampling.logprob_token_ids, engine, "logprob_token_ids"
        )
        if problem is not None:
            return problem
        max_new_tokens = available_tokens(len(ids), engine.window, request)
        if isinstance(max_new_tokens, Problem):
            return max_new_tokens
        prompt = tuple(ids)  # shared by all choices
        if request.grammar is None:
            return PromptTokens(prompt, max_new_tokens, inputs=inputs)
        constraint = await self._constraint(engine.grammars, request.grammar)
        if isinstance(constraint, Problem):
            return constraint
        return PromptTokens(prompt, max_new_tokens, constraint, inputs)

    async def _encoded(self, engine: Engine, request: GenerationRequest) -> ImagePrompt | Problem:
        if request.images:
            return await self._images.encode(engine, request)
        length = prompt_characters(request.prompt, request.messages)
        ids = await self.in_thread(encode_prompt, engine, request, length, request.request_id)
        return ids if isinstance(ids, Problem) else ImagePrompt(ids, NO_INPUTS)

    async def in_thread(
        self,
        function: Callable[[Engine, T], R],
        engine: Engine,
        request: T,
        characters: int,
        request_id: str = "",
    ) -> R:
        """``function`` in one of the threads that tokenize, when the queue comes to a text of so
        many characters. What has no ``request_id`` is a request of its own."""
        async with self._queue.slot(request_id or uuid4().hex, characters):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._tokenizing, function, engine, request)

    async def _constraint(
        self, grammars: GrammarCompiler, grammar: Grammar
    ) -> Constraint | Problem:
        cached = grammars.cached(grammar)
        if cached is not None:
            return cached
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
