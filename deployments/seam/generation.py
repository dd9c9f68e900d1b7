"""Text generation across the seam: prompts and chats, sampling, tokens and whole texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from deployments.seam.tokens import TokenCounts

FinishReason: TypeAlias = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. The defaults are those of "do nothing": plain sampling.

    ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 are off. ``repetition_penalty`` counts
    prompt and generated tokens (CTRL, arXiv:1909.05858), the frequency and presence penalties the
    generated ones (OpenAI's API reference). ``logit_bias`` maps token ids to values added to the
    logits. ``top_logprobs`` alternatives are reported when ``logprobs`` is on, from the model's own
    distribution, before any of the above. With the same ``seed`` the same tokens are drawn.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: bool = False
    top_logprobs: int = 0
    seed: int = 0

    @property
    def greedy(self) -> bool:
        """Below this temperature only the likeliest token is drawn, and float32 overflows."""
        return self.temperature < 1e-3 or self.top_k == 1

    @property
    def nucleus(self) -> float:
        """``top_p``, never so small that float32 loses it: one token always stays."""
        return max(self.top_p, 1e-6)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model asks for; ``arguments`` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn. ``tool_calls`` are an assistant's, ``tool_call_id`` says what a tool answers.

    ``name`` is who speaks, for the chat templates that show it.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


class TokenAlternative(NamedTuple):
    """Literal text, and behind it an instance of the JSON schema that ``source`` is, as JSON."""

    before: str
    source: str


@dataclass(frozen=True, slots=True)
class Grammar:
    """What the new text has to be, from its first character to its last.

    ``json`` is any JSON object and has no ``source``; ``json_schema`` is an instance of the schema
    that ``source`` is, as JSON; ``alternatives`` any one of those; ``regex`` a match of the whole
    expression. ``before`` and ``after`` are literal text around that. With ``triggered`` the text
    is free and may be anything until it writes ``before``; what follows has to be the rest, and is
    free again behind ``after``. A text that is cut off by its bounds is the beginning of one.
    """

    kind: Literal["json", "json_schema", "alternatives", "regex"]
    source: str = ""
    before: str = ""
    after: str = ""
    triggered: bool = False
    alternatives: tuple[TokenAlternative, ...] = ()


class ToolCallMarkers(NamedTuple):
    """What a model writes before and behind the JSON object of a call."""

    opening: str
    closing: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt or one chat, and the bounds of what may follow it.

    Exactly one of ``prompt``, ``prompt_ids`` (tokens, taken as they are) and ``messages`` is given.
    ``tools`` are shown to the chat template: each the JSON of one of OpenAI's tool objects.
    ``grammar`` constrains what is decoded. ``max_new_tokens`` bounds the new tokens,
    ``max_length`` prompt and new ones together; the smaller bound wins, and with neither the text
    may fill the model's window. No end of sequence is chosen before there are ``min_new_tokens``
    new ones; a stop string still ends the text, and with ``stop_after_tool_call`` so does the end
    of the first call that has those marks. Of a prompt only the last ``keep_last`` tokens are read,
    where that is given. With ``truncate`` the end of a chat's last message is cut off where
    prompt and ``max_new_tokens`` would pass the window. With ``trim_oldest`` a chat's oldest turns
    are left out there, never its system message nor its last one.

    ``delivered`` is set when another replica began the answer: the tokens of each choice that the
    client has already, which are not sent again, or ``None`` for a choice that is finished.
    """

    request_id: str
    model: str
    prompt: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    messages: tuple[ChatMessage, ...] | None = None
    tools: tuple[str, ...] = ()
    grammar: Grammar | None = None
    max_new_tokens: int | None = None
    min_new_tokens: int = 0
    max_length: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    stop_after_tool_call: ToolCallMarkers | None = None
    choices: int = 1
    truncate: bool = False
    trim_oldest: bool = False
    keep_last: int | None = None
    delivered: tuple[tuple[int, ...] | None, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of the chosen token and of the most likely alternatives.

    ``top_ids`` are the alternatives' token ids, ``top_special`` those of them without a text.
    """

    text: str
    logprob: float
    raw: bytes
    top: tuple[tuple[str, float, bytes], ...] = ()
    top_ids: tuple[int, ...] = ()
    top_special: frozenset[int] = frozenset()


class Token(NamedTuple):
    """One decoded token of one choice.

    ``text`` is what this token adds to the text and never splits a character: a token that
    completes none, or that may begin a stop string, adds nothing yet. The last token of a choice
    carries its ``finish_reason``, and the ``stop_string`` that ended the text, which is not part of
    it. A ``special`` token is one of the model's own marks, such as its end of sequence.
    """

    choice: int
    position: int
    token_id: int
    text: str
    finish_reason: FinishReason | None = None
    logprob: TokenLogprob | None = None
    special: bool = False
    stop_string: str | None = None


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """The tokens that were ready together; one item of a stream. Never empty.

    ``device`` is where the engine decodes: ``cpu``, ``cuda:0``, ... Pickled by columns: a tenth of
    the time that it takes token by token.
    """

    prompt_tokens: int
    tokens: tuple[Token, ...]
    device: str = "cpu"

    def __reduce__(self) -> tuple[Any, ...]:
        return _token_chunk, (self.prompt_tokens, self.device, *zip(*self.tokens, strict=True))


def _token_chunk(prompt_tokens: int, device: str, *columns: tuple[Any, ...]) -> TokenChunk:
    tokens = tuple(map(Token._make, zip(*columns, strict=True)))
    return TokenChunk(prompt_tokens, tokens, device)


@dataclass(frozen=True, slots=True)
class GeneratedSequence:
    """One text. ``special`` says of each of ``logprobs`` whether its token has no text."""

    text: str
    finish_reason: FinishReason
    tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    stop_string: str | None = None
    special: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """A whole answer: ``choices`` in order, each with its own count of tokens.

    ``device`` is as in :class:`TokenChunk`.
    """

    prompt_tokens: int
    choices: tuple[GeneratedSequence, ...]
    device: str = "cpu"

    @property
    def token_counts(self) -> TokenCounts:
        return TokenCounts(self.prompt_tokens, sum(choice.tokens for choice in self.choices))
