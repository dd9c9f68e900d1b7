"""Submits one sequence to an engine and collects its tokens, for tests to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from deployments.engine.interface import Engine
from deployments.engine.sequence import NO_INPUTS, Arrays, Sequence
from deployments.seam.generation import ChatMessage, Grammar, Sampling, Token
from deployments.seam.problems import Problem

PATIENCE_S = 120.0


class Reader:
    """One sequence on an engine: its tokens, its failure, and events to wait for.

    ``new`` and ``min_new`` are its maximum and minimum of new tokens.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: str | list[int],
        *,
        new: int = 16,
        min_new: int = 0,
        on_token: Callable[[Token], None] | None = None,
        stop: tuple[str, ...] = (),
        eos_ids: frozenset[int] | None = None,
        choice: int = 0,
        request: str = "",
        resume_ids: tuple[int, ...] = (),
        grammar: Grammar | None = None,
        inputs: Arrays = NO_INPUTS,
        **sampling: Any,
    ) -> None:
        if isinstance(prompt, str):
            prompt = engine.codec.encode_chat([ChatMessage("user", prompt)])
        self.engine = engine
        self.tokens: list[Token] = []
        self.problem: Problem | None = None
        self.began, self.over = threading.Event(), threading.Event()
        self.on_token = on_token
        self.sequence = Sequence(
            codec=engine.codec,
            on_token=self._deliver,
            on_failure=self._fail,
            prompt_ids=prompt,
            sampling=Sampling(**sampling),
            max_new_tokens=new,
            min_new_tokens=min_new,
            stop=stop,
            eos_ids=eos_ids,
            choice=choice,
            request_id=request,
            resume_ids=resume_ids,
            constraint=engine.grammars.compile(grammar).fresh() if grammar else None,
            inputs=inputs,
        )

    def start(self) -> Reader:
        self.engine.submit(self.sequence)
        return self

    def wait(self) -> Reader:
        assert self.over.wait(PATIENCE_S), "the sequence never ended"
        return self

    def read(self) -> str:
        """Run to the end; the text."""
        self.start().wait()
        assert self.problem is None
        return self.text

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    @property
    def ids(self) -> list[int]:
        return [token.token_id for token in self.tokens]

    @property
    def finish(self) -> str | None:
        return self.tokens[-1].finish_reason

    def _deliver(self, token: Token) -> None:
        self.tokens.append(token)
        self.began.set()
        if self.on_token is not None:
            self.on_token(token)
        if token.finish_reason is not None:
            self.over.set()

    def _fail(self, problem: Problem) -> None:
        self.problem = problem
        self.over.set()
