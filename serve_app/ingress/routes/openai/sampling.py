"""The sampling fields and the stream of ``/v1/chat/completions`` and ``/v1/completions``."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from deployments.seam.generation import Sampling, Token
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.documentation.rules import OBJECT, TRUE, when
from serve_app.ingress.errors import ServiceError, ValidationFailed
from serve_app.ingress.routes.generation_fields import seed_of, usage
from serve_app.ingress.routes.openai.errors import openai_envelope
from serve_app.ingress.streams import message, one_line
from serve_app.ingress.validation.fields import (
    Body,
    Choices,
    ModelName,
    Penalty,
    RepetitionPenalty,
    Seed,
    Stops,
    Temperature,
    TokenCount,
    TopK,
    TopP,
)

BiasedToken = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})$")]
Bias = Annotated[float, Field(ge=-100, le=100)]

DONE = b"data: [DONE]\n\n"


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


STREAMED = when({"stream_options": OBJECT}, needs={"stream": TRUE})


class SamplingBody(Body):
    """The fields of both endpoints, with OpenAI's defaults, not PRSM's.

    ``top_k`` and ``repetition_penalty`` extend OpenAI's API, as most open servers do.
    """

    model: ModelName | None = None
    max_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    repetition_penalty: RepetitionPenalty | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[BiasedToken, Bias], Field(max_length=1024)] | None = None
    n: Choices | None = None
    stop: Stops | None = None
    seed: Seed | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None

    def check_stream(self) -> None:
        """Refuse options of a stream where nothing is streamed. Raises ``ValidationFailed``."""
        if self.stream_options is not None and not self.stream:
            raise ValidationFailed(
                "stream_options needs stream to be true.", field="stream_options"
            )

    def sampling(self, *, logprobs: bool, top_logprobs: int) -> Sampling:
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=self.top_k or 0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            logit_bias={int(token): bias for token, bias in (self.logit_bias or {}).items()},
            logprobs=logprobs,
            top_logprobs=top_logprobs,
            seed=seed_of(self.seed),
        )

    def needed_capabilities(self) -> Iterator[tuple[str, str]]:
        """Fields that need a capability that not every engine has, each with that capability."""
        for name in ("logit_bias", "frequency_penalty", "presence_penalty"):
            if getattr(self, name):
                yield name, name

    @property
    def reports_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


def now() -> int:
    return int(time.time())


async def chunks(
    stream: ChunkStream,
    head: dict[str, Any],
    choice_chunks: Callable[[Token], list[dict[str, Any]]],
    *,
    reports_usage: bool,
) -> AsyncGenerator[bytes, None]:
    """``data:`` chunks of a stream, its usage when asked for, and ``[DONE]``.

    ``choice_chunks`` turns one token into the choices of none, one or more chunks.
    """
    frame = framed({**head, "usage": None} if reports_usage else head)
    prompt_tokens = new_tokens = 0
    async for chunk in stream:
        prompt_tokens = chunk.prompt_tokens
        new_tokens += len(chunk.tokens)
        choices = [choice for token in chunk.tokens for choice in choice_chunks(token)]
        if choices:
            yield b"".join(map(frame, choices))
    if reports_usage:
        totals = usage(prompt_tokens, new_tokens)
        yield message({**head, "usage": totals, "choices": []})
    yield DONE


def framed(head: dict[str, Any]) -> Callable[[dict[str, Any]], bytes]:
    """A function that makes a chunk of one choice under ``head``, the same for all chunks."""
    opening = b"data: " + one_line(head)[:-1] + b',"choices":['
    return lambda choice: opening + one_line(choice) + b"]}\n\n"


def failure(error: ServiceError) -> bytes:
    """The last events of a stream that broke; the clients raise their own exception of it."""
    return message(openai_envelope(error)) + DONE
