"""Generated tokens in TGI's format: the events of its streams, and the details of a whole text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from deployments.seam.generation import FinishReason, Token
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.errors import InternalError, ServiceError
from serve_app.ingress.routes.huggingface.errors import hub_envelope
from serve_app.ingress.streams import message


class StreamToken(BaseModel):
    id: int
    text: str
    logprob: float
    special: bool


class StreamDetails(BaseModel):
    finish_reason: Literal["length", "eos_token", "stop_sequence"]
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamResponse(BaseModel):
    """One token; the last one carries the whole text and its details."""

    index: int
    token: StreamToken
    top_tokens: list[StreamToken] | None = None
    generated_text: str | None
    details: StreamDetails | None


@dataclass(frozen=True, slots=True)
class TextEnd:
    """Why a text ended, and the stop string that ended it."""

    reason: FinishReason | None
    stop_string: str | None

    @property
    def tgi_reason(self) -> str:
        """TGI's ``FinishReason``."""
        if self.reason == "length":
            return "length"
        return "eos_token" if self.stop_string is None else "stop_sequence"


@dataclass(frozen=True, slots=True)
class TokenText:
    """One text with its tokens."""

    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    @property
    def end(self) -> TextEnd:
        return TextEnd(self.tokens[-1].finish_reason, self.tokens[-1].stop_string)

    @property
    def mean_logprob(self) -> float:
        """The model's own mean log-probability of a token, by which ``best_of`` chooses."""
        return sum(_logprob(token) for token in self.tokens) / len(self.tokens)


@dataclass(frozen=True, slots=True)
class TgiFormat:
    """The fields that are the same for every token of an answer.

    ``prompt`` goes before the whole text; ``seed`` is ``None`` for a greedy text.
    """

    prompt: str
    seed: int | None
    alternatives: bool

    def text(self, text: str, end: TextEnd) -> str:
        return self.prompt + text + (end.stop_string or "")

    def details(self, texts: Sequence[TokenText]) -> dict[str, Any]:
        """TGI's ``Details`` of the first text; the others are its ``best_of_sequences``."""
        first, *others = texts
        sequence = self._sequence(first)
        if others:
            sequence["best_of_sequences"] = [
                {"generated_text": self.text(each.text, each.end), **self._sequence(each)}
                for each in others
            ]
        return sequence

    def event(self, token: Token, index: int) -> dict[str, Any]:
        """TGI's ``StreamResponse`` for one token; ``index`` counts from 1.

        Texts of events make up the whole text: a token that is part of a character has none.
        """
        shown = {**_tgi_token(token), "text": token.text + (token.stop_string or "")}
        event: dict[str, Any] = {"index": index, "token": shown}
        if self.alternatives:
            event["top_tokens"] = _alternatives(token)
        return {**event, "generated_text": None, "details": None}

    def last(self, text_tokens: TokenText, prompt_tokens: int) -> dict[str, Any]:
        """The fields that only the last event of a stream has."""
        details = {
            "finish_reason": text_tokens.end.tgi_reason,
            "generated_tokens": len(text_tokens.tokens),
            "seed": self.seed,
            "input_length": prompt_tokens,
        }
        return {"generated_text": self.text(text_tokens.text, text_tokens.end), "details": details}

    def _sequence(self, text_tokens: TokenText) -> dict[str, Any]:
        sequence: dict[str, Any] = {
            "finish_reason": text_tokens.end.tgi_reason,
            "generated_tokens": len(text_tokens.tokens),
            "seed": self.seed,
            "prefill": [],
            "tokens": [_tgi_token(token) for token in text_tokens.tokens],
        }
        if self.alternatives:
            sequence["top_tokens"] = [_alternatives(token) for token in text_tokens.tokens]
        return sequence


async def events(chunks: ChunkStream, form: TgiFormat) -> AsyncGenerator[bytes, None]:
    """One ``data:`` event a token; the last one carries the whole text and its details."""
    tokens: list[Token] = []
    async for chunk in chunks:
        frames = []
        for token in chunk.tokens:
            tokens.append(token)
            event = form.event(token, len(tokens))
            if token.finish_reason:
                event |= form.last(TokenText(tuple(tokens)), chunk.prompt_tokens)
            frames.append(message(event))
        yield b"".join(frames)


async def collect_choices(chunks: ChunkStream, choices: int) -> list[TokenText]:
    """Every choice of a stream, in order, when all have ended."""
    tokens: list[list[Token]] = [[] for _ in range(choices)]
    with closing(chunks):
        async for chunk in chunks:
            for token in chunk.tokens:
                tokens[token.choice].append(token)
    return [TokenText(tuple(of_choice)) for of_choice in tokens]


def best_first(texts: Sequence[TokenText]) -> list[TokenText]:
    """The likeliest text first."""
    return sorted(texts, key=lambda each: each.mean_logprob, reverse=True)


def error_event(error: ServiceError, request_id: str) -> bytes:
    """The last event of a stream that broke; the client raises the exception of its type."""
    envelope = hub_envelope(error, request_id)
    return message({**envelope, "error_type": envelope["error_type"] or "generation"})


def _tgi_token(token: Token) -> dict[str, Any]:
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
