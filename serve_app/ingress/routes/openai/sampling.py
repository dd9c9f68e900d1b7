"""The sampling fields and the stream of ``/v1/chat/completions`` and ``/v1/completions``."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from deployments.seam.generation import Sampling, Token, TokenChunk
from serve_app.ingress.documentation.rules import OBJECT, TRUE, when
from serve_app.ingress.errors import ServiceError, ValidationFailed
from serve_app.ingress.routes.generation_fields import seed_of, usage
from serve_app.ingress.routes.openai.errors import openai_envelope
from serve_app.ingress.routes.openai.guided import GuidedBody
from serve_app.ingress.routes.openai.no_effect import NoEffectBody
from serve_app.ingress.streams import message, one_line
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import (
    ALL_THAT_FIT,
    Body,
    Choices,
    MinP,
    MinTokens,
    ModelName,
    Penalty,
    PromptTokenCount,
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
    continuous_usage_stats: bool | None = Field(None, description="usage in every chunk")
    include_obfuscation: NoEffect[Literal[False] | None] = None


@dataclass(frozen=True, slots=True)
class UsageReports:
    """Where a stream reports its usage: in a chunk of its own at the end, in every chunk."""

    at_the_end: bool
    in_every_chunk: bool


STREAMED = when({"stream_options": OBJECT}, needs={"stream": TRUE})


class SamplingBody(GuidedBody, NoEffectBody):
    """The fields of both endpoints, with OpenAI's defaults, not PRSM's.

    ``top_k``, ``min_p``, ``repetition_penalty``, ``min_tokens``, ``ignore_eos`` and
    ``truncate_prompt_tokens`` extend OpenAI's API, as in vLLM and most open servers.
    """

    model: ModelName | None = None
    max_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[BiasedToken, Bias], Field(max_length=1024)] | None = None
    n: Choices | None = None
    stop: Stops | None = None
    min_tokens: MinTokens | None = Field(
        None, description="no end of sequence before this many tokens"
    )
    ignore_eos: bool | None = Field(None, description="an end of sequence does not end the text")
    truncate_prompt_tokens: PromptTokenCount | None = Field(
        None, description="how many of a prompt's last tokens are read; -1: as many as fit"
    )
    seed: Seed | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def check_min_tokens(self, max_tokens: int | None, field: str) -> None:
        """Refuse a minimum above the maximum. Raises ``ValidationFailed``."""
        if max_tokens is not None and (self.min_tokens or 0) > max_tokens:
            message = f"min_tokens is {self.min_tokens}, but {field} is {max_tokens}."
            raise ValidationFailed(message, field="min_tokens")

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
            min_p=self.min_p or 0.0,
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
        if self.guided is not None:
            yield self.guided.field, self.guided.capability

    @property
    def keep_last(self) -> int | None:
        """How many of a prompt's last tokens are read; ``None`` where no number is given."""
        wanted = self.truncate_prompt_tokens
        return None if wanted == ALL_THAT_FIT else wanted

    @property
    def truncate(self) -> bool:
        """Whether a prompt is cut so that it fits."""
        return self.truncate_prompt_tokens == ALL_THAT_FIT

    @property
    def usage_reports(self) -> UsageReports:
        options = self.stream_options or StreamOptions()
        return UsageReports(bool(options.include_usage), bool(options.continuous_usage_stats))


def now() -> int:
    return int(time.time())


async def chunks(
    stream: AsyncIterable[TokenChunk],
    head: dict[str, Any],
    choice_chunks: Callable[[Token], list[dict[str, Any]]],
    reports: UsageReports,
) -> AsyncGenerator[bytes, None]:
    """``data:`` chunks of a stream, its usage when asked for, and ``[DONE]``.

    ``choice_chunks`` turns one token into the choices of none, one or more chunks.
    """
    opening = chunk_opening({**head, "usage": None} if reports.at_the_end else head)
    prompt_tokens = new_tokens = 0
    async for chunk in stream:
        prompt_tokens = chunk.prompt_tokens
        frames = []
        for token in chunk.tokens:
            new_tokens += 1
            if reports.in_every_chunk:
                opening = chunk_opening({**head, "usage": usage(prompt_tokens, new_tokens)})
            frames += [framed(opening, choice) for choice in choice_chunks(token)]
        if frames:
            yield b"".join(frames)
    if reports.at_the_end:
        totals = usage(prompt_tokens, new_tokens)
        yield message({**head, "usage": totals, "choices": []})
    yield DONE


def chunk_opening(head: dict[str, Any]) -> bytes:
    """The bytes of a chunk before its choices; consecutive chunks share them."""
    return b"data: " + one_line(head)[:-1] + b',"choices":['


def framed(opening: bytes, choice: dict[str, Any]) -> bytes:
    return opening + one_line(choice) + b"]}\n\n"


def failure(error: ServiceError) -> bytes:
    """The last events of a stream that broke; the clients raise their own exception of it."""
    return message(openai_envelope(error)) + DONE
