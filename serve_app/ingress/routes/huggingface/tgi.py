"""Tokens in TGI's words: the events of its streams, and the details of a whole text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from deployments.seam.generation import FinishReason, Token
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.errors import InternalError, ServiceError
from serve_app.ingress.routes.huggingface.errors import hub_envelope
from serve_app.ingress.streams import message


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a text ended, and the stop string that ended it."""

    reason: FinishReason | None
    stop_string: str | None

    @property
    def word(self) -> str:
        """TGI's ``FinishReason``."""
        if self.reason == "length":
            return "length"
        return "eos_token" if self.stop_string is None else "stop_sequence"


@dataclass(frozen=True, slots=True)
class Written:
    """One text with its tokens."""

    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    @property
    def end(self) -> Ending:
        return Ending(self.tokens[-1].finish_reason, self.tokens[-1].stop_string)

    @property
    def mean_logprob(self) -> float:
        """The model's own mean log-probability of a token, by which ``best_of`` chooses."""
        return sum(_logprob(token) for token in self.tokens) / len(self.tokens)


@dataclass(frozen=True, slots=True)
class Writing:
    """What is the same about every token of an answer.

    ``prompt`` goes before the whole text; ``seed`` is ``None`` where nothing was drawn.
    """

    prompt: str
    seed: int | None
    alternatives: bool

    def text(self, text: str, end: Ending) -> str:
        return self.prompt + text + (end.stop_string or "")

    def details(self, written: Sequence[Written]) -> dict[str, Any]:
        """TGI's ``Details`` of the first text; the others are its ``best_of_sequences``."""
        first, *others = written
        made = self._sequence(first)
        if others:
            made["best_of_sequences"] = [
                {"generated_text": self.text(each.text, each.end), **self._sequence(each)}
                for each in others
            ]
        return made

    def event(self, token: Token, index: int) -> dict[str, Any]:
        """TGI's ``StreamResponse`` but for what its last one has; ``index`` counts from 1.

        Texts of events make up the whole text: a token that is part of a character has none.
        """
        shown = {**_shown(token), "text": token.text + (token.stop_string or "")}
        event: dict[str, Any] = {"index": index, "token": shown}
        if self.alternatives:
            event["top_tokens"] = _alternatives(token)
        return {**event, "generated_text": None, "details": None}

    def last(self, written: Written, prompt_tokens: int) -> dict[str, Any]:
        """What the last event of a stream has besides."""
        details = {
            "finish_reason": written.end.word,
            "generated_tokens": len(written.tokens),
            "seed": self.seed,
            "input_length": prompt_tokens,
        }
        return {"generated_text": self.text(written.text, written.end), "details": details}

    def _sequence(self, written: Written) -> dict[str, Any]:
        made: dict[str, Any] = {
            "finish_reason": written.end.word,
            "generated_tokens": len(written.tokens),
            "seed": self.seed,
            "prefill": [],
            "tokens": [_shown(token) for token in written.tokens],
        }
        if self.alternatives:
            made["top_tokens"] = [_alternatives(token) for token in written.tokens]
        return made


async def events(bursts: ChunkStream, writing: Writing) -> AsyncGenerator[bytes, None]:
    """One ``data:`` event a token; the last one carries the whole text and its details."""
    tokens: list[Token] = []
    async for burst in bursts:
        made = []
        for token in burst.tokens:
            tokens.append(token)
            event = writing.event(token, len(tokens))
            if token.finish_reason:
                event |= writing.last(Written(tuple(tokens)), burst.prompt_tokens)
            made.append(message(event))
        yield b"".join(made)


async def collected(bursts: ChunkStream, choices: int) -> list[Written]:
    """Every choice of a stream, in order, when all have ended."""
    tokens: list[list[Token]] = [[] for _ in range(choices)]
    with closing(bursts):
        async for burst in bursts:
            for token in burst.tokens:
                tokens[token.choice].append(token)
    return [Written(tuple(of_choice)) for of_choice in tokens]


def best(written: Sequence[Written]) -> list[Written]:
    """The likeliest text first."""
    return sorted(written, key=lambda each: each.mean_logprob, reverse=True)


def failure(error: ServiceError, request_id: str) -> bytes:
    """The end of a stream that broke: the client raises it, by its type."""
    envelope = hub_envelope(error, request_id)
    return message({**envelope, "error_type": envelope["error_type"] or "generation"})


def _shown(token: Token) -> dict[str, Any]:
    """TGI's ``Token``, with the token's own text."""
    text = token.text if token.logprob is None else token.logprob.text
    logprob = _logprob(token)
    return {"id": token.token_id, "text": text, "logprob": logprob, "special": token.special}


def _logprob(token: Token) -> float:
    if token.logprob is None:
        raise InternalError
    return token.logprob.logprob


def _alternatives(token: Token) -> list[dict[str, Any]]:
    if token.logprob is None:
        return []
    pairs = zip(token.logprob.top_ids, token.logprob.top, strict=True)
    special = token.logprob.top_special
    return [
        {"id": each, "text": text, "logprob": logprob, "special": each in special}
        for each, (text, logprob, _) in pairs
    ]
