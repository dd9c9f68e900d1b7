"""Sends requests to an engine in this process, and times their tokens."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence as Listed
from dataclasses import dataclass, field
from itertools import pairwise

from deployments.engine.interface import Engine
from deployments.engine.sequence import Sequence
from deployments.seam.generation import Grammar, Sampling, Token
from deployments.seam.problems import Problem

LIMIT_S = 120.0
WORDS = ("time", "river", "stone", "light", "garden", "music", "winter", "bridge", "letter")


def prompt_of(words: int, seed: int) -> str:
    """A text of so many words, another one for each seed."""
    source = random.Random(seed)
    return " ".join([f"{seed}:", *source.choices(WORDS, k=words)])


def shared_beginning(encode: Callable[[str], list[int]], seed: int) -> list[list[int]]:
    """Two turns of a conversation of about 1,000 tokens; the second adds a dozen words."""
    first = prompt_of(800, seed)
    return [encode(first), encode(f"{first} {prompt_of(12, seed + 1)}")]


@dataclass
class Written:
    """One sequence on its way: when each of its tokens came, in seconds after its start."""

    began: float
    times: list[float] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    problem: Problem | None = None

    @property
    def gaps(self) -> list[float]:
        """Seconds between one token and the next."""
        return [after - before for before, after in pairwise(self.times)]

    def add(self, token: Token) -> None:
        self.times.append(time.perf_counter() - self.began)
        if token.finish_reason is not None:
            self.ended.set()

    def fail(self, problem: Problem) -> None:
        self.problem = problem
        self.ended.set()


class EngineRequests:
    """The clients of an engine, all in this thread: sequences run until they have all tokens."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0

    def encode(self, text: str) -> list[int]:
        return list(self._engine.codec.encode(text))

    def start(
        self,
        prompts: Listed[str | list[int]],
        lengths: Listed[int],
        *,
        apart_s: float = 0.0,
        grammar: Grammar | None = None,
    ) -> list[Written]:
        """Submit a request for each prompt, so many seconds apart. One with a grammar ends as soon
        as its text is complete."""
        started = []
        for number, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
            if number and apart_s:
                time.sleep(apart_s)
            ids = self.encode(prompt) if isinstance(prompt, str) else prompt
            started.append(self._submit(ids, length, grammar))
        return started

    def finish(self, written: Listed[Written]) -> list[Written]:
        """Wait for all. Raises ``RuntimeError`` when one failed or took too long."""
        for each in written:
            if not each.ended.wait(LIMIT_S) or each.problem is not None:
                raise RuntimeError(f"the engine failed: {each.problem}")
        return list(written)

    def wait_for_token(self, written: Listed[Written], number: int) -> None:
        """Wait until every sequence has so many tokens."""
        until = time.monotonic() + LIMIT_S
        while any(len(each.times) < number for each in written):
            if time.monotonic() > until:
                raise RuntimeError("the engine is too slow")
            time.sleep(0.002)

    def rate(
        self, prompts: Listed[str | list[int]], lengths: Listed[int], *, apart_s: float = 0.0
    ) -> float:
        """Tokens a second, from the first request's arrival to the last token."""
        began = time.perf_counter()
        written = self.finish(self.start(prompts, lengths, apart_s=apart_s))
        return sum(len(each.times) for each in written) / (time.perf_counter() - began)

    def first_token(self, prompt: list[int], *, grammar: Grammar | None = None) -> float:
        """Seconds to the first of some tokens."""
        (written,) = self.finish(self.start([prompt], [8], grammar=grammar))
        return written.times[0]

    def _submit(self, ids: list[int], length: int, grammar: Grammar | None) -> Written:
        self._count += 1
        written = Written(time.perf_counter())
        constraint = None if grammar is None else self._engine.grammars.compile(grammar).fresh()
        self._engine.submit(
            Sequence(
                codec=self._engine.codec,
                prompt_ids=ids,
                sampling=Sampling(temperature=0.0),
                max_new_tokens=length,
                eos_ids=frozenset() if grammar is None else None,
                on_token=written.add,
                on_failure=written.fail,
                request_id=str(self._count),
                constraint=constraint,
            )
        )
        return written
