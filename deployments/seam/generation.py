"""The values of text generation: requests (prompt, chat, sampling, grammar), tokens and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from deployments.seam.tokens import TokenCounts

FinishReason: TypeAlias = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. The defaults sample from the model's own distribution.

    ``temperature`` 0 is greedy; ``top_k`` 0, ``top_p`` 1, ``min_p`` 0 and ``typical_p`` 1 are off.
    ``min_p`` (arXiv:2407.01082) and ``typical_p`` (arXiv:2202.00666) cut what top-k and top-p
    leave, in this order, as in transformers. ``repetition_penalty`` counts prompt and generated
    tokens (CTRL, arXiv:1909.05858), the frequency and presence penalties the generated ones
    (OpenAI's API reference). ``logit_bias`` maps token ids to values added to the
    logits. With ``logprobs`` the token's log-probability and those of the ``top_logprobs`` most
    likely tokens and of ``logprob_token_ids`` are reported, from the model's own distribution,
    before any of the above; with ``prompt_logprobs`` besides, those of the prompt's tokens, with
    the first choice. The same ``seed`` gives the same tokens.
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
    min_p: float = 0.0
    typical_p: float = 1.0
    prompt_logprobs: bool = False
    logprob_token_ids: tuple[int, ...] = ()

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always chosen. Lower temperatures overflow float32."""
        return self.temperature < 1e-3 or self.top_k == 1

    @property
    def nucleus(self) -> float:
        """``top_p``, at least what float32 can tell from 0, so that one token always remains."""
        return max(self.top_p, 1e-6)

    @property
    def truncated(self) -> bool:
        """Whether less likely tokens are cut off before one is sampled."""
        return bool(self.top_k or self.min_p) or self.nucleus < 1.0 or self.typical_p < 1.0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of the model; ``arguments`` is a JSON object as text."""

    id: str
    name: str
    arguments: str


class ChatImage(NamedTuple):
    """An image file in a message, before the character ``offset`` of its content."""

    file: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message. ``tool_calls`` are an assistant's; a tool's names its ``tool_call_id``.

    ``name`` is the speaker, for the chat templates that show it. ``images`` are in the order of
    their offsets.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    images: tuple[ChatImage, ...] = ()


class TokenAlternative(NamedTuple):
    """One alternative of a grammar: the literal ``before``, then an instance of the JSON schema
    ``source``."""

    before: str
    source: str


@dataclass(frozen=True, slots=True)
class Grammar:
    """Structured output: what the whole new text must match.

    The kinds: ``json`` is any JSON object, without a ``source``; ``json_schema`` an instance of the
    schema in ``source``; ``alternatives`` one of them; ``regex`` a match of the whole expression in
    ``source``. ``before`` and ``after`` are literal text around it. With ``triggered`` the text is
    free until it contains ``before``, must then match the rest, and is free again behind ``after``.
    A text that ends by its length matches as far as it goes.
    """

    kind: Literal["json", "json_schema", "alternatives", "regex"]
    source: str = ""
    before: str = ""
    after: str = ""
    triggered: bool = False
    alternatives: tuple[TokenAlternative, ...] = ()


class ToolCallMarkers(NamedTuple):
    """The text that a model writes before and behind the JSON object of a tool call."""

    opening: str
    closing: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt or chat, and how to continue it.

    Exactly one of ``prompt``, ``prompt_ids`` (tokens, taken as they are) and ``messages`` is given.
    ``tools`` are for the chat template, each the JSON of one of OpenAI's tool objects, and so are
    ``template_variables``, a JSON object or nothing. ``grammar`` constrains the text.

    ``max_new_tokens`` bounds the new tokens, ``max_length`` prompt and new ones together; the
    smaller bound counts, and without either the text may fill the window. Before ``min_new_tokens``
    new tokens no end of sequence is chosen, but a stop string ends the text, and so does the first
    tool call with the markers ``stop_after_tool_call``. With ``ignore_eos`` an end of sequence is a
    token like others. ``choices`` texts are generated.

    Only the last ``keep_last`` tokens of a prompt are used, if that is given. Where prompt and
    ``max_new_tokens`` would pass the window, ``truncate`` cuts off the end of a chat's last
    message, or the beginning of a prompt. With ``trim_oldest`` a chat's oldest turns are left out
    instead, but neither its system message nor its last turn.

    ``delivered`` is set when another replica began the answer: for each choice the tokens that the
    client already has, which are not sent again, or ``None`` if the choice is finished.

    Requests with the same ``session`` go to the same replica while it can take them. Without one
    the beginning of the prompt decides.
    """

    request_id: str
    model: str
    prompt: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    messages: tuple[ChatMessage, ...] | None = None
    tools: tuple[str, ...] = ()
    template_variables: str = ""
    grammar: Grammar | None = None
    max_new_tokens: int | None = None
    min_new_tokens: int = 0
    ignore_eos: bool = False
    max_length: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    stop_after_tool_call: ToolCallMarkers | None = None
    choices: int = 1
    truncate: bool = False
    trim_oldest: bool = False
    keep_last: int | None = None
    delivered: tuple[tuple[int, ...] | None, ...] = ()
    session: str = ""

    @property
    def images(self) -> tuple[bytes, ...]:
        """The image files of its messages, in their order."""
        messages = self.messages or ()
        return tuple(image.file for message in messages for image in message.images)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of a token and of the most likely tokens in its place.

    ``top`` has their text, log-probability and bytes, ``top_ids`` their ids; ``top_special`` are
    the ids among them that have no text. ``of_token_ids`` has the log-probabilities
    of the request's ``logprob_token_ids``, in their order. ``prompt`` is there at a text's first
    token, where the prompt's log-probabilities are requested.
    """

    text: str
    logprob: float
    raw: bytes
    top: tuple[tuple[str, float, bytes], ...] = ()
    top_ids: tuple[int, ...] = ()
    top_special: frozenset[int] = frozenset()
    prompt: PromptLogprobs | None = None
    of_token_ids: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptLogprobs:
    """The tokens of a prompt, each with its log-probability after those before it.

    The first one's is 0, since nothing is before it. ``special`` tells for each if it has no text.
    """

    tokens: tuple[TokenLogprob, ...]
    special: tuple[bool, ...]

    @property
    def text(self) -> str:
        """The prompt as the model read it."""
        pairs = zip(self.tokens, self.special, strict=True)
        raw = b"".join(token.raw for token, special in pairs if not special)
        return raw.decode("utf-8", errors="replace")


class Token(NamedTuple):
    """One decoded token of one choice.

    ``text`` is what this token adds to the text. It never splits a character: a token that
    completes no character, or that may begin a stop string, adds nothing yet. The last token of a
    choice has its ``finish_reason``, and the ``stop_string`` that ended the text, which is not part
    of it. A ``special`` token has no text, such as the end of sequence.
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
    """Tokens that are sent together: one item of a stream, never empty.

    ``device`` is where the engine decodes: ``cpu``, ``cuda:0``, ... It is pickled by columns, which
    takes a tenth of the time of pickling token by token.
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
    """One generated text. ``special`` tells for each of ``logprobs`` if its token has no text."""

    text: str
    finish_reason: FinishReason
    tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    stop_string: str | None = None
    special: tuple[bool, ...] = ()

    @property
    def prompt(self) -> PromptLogprobs | None:
        """The log-probabilities of its prompt, where they are asked for."""
        return self.logprobs[0].prompt if self.logprobs else None


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """The result of a request: its ``choices`` in order, each with its number of tokens.

    ``device`` is as in :class:`TokenChunk`.
    """

    prompt_tokens: int
    choices: tuple[GeneratedSequence, ...]
    device: str = "cpu"

    @property
    def token_counts(self) -> TokenCounts:
        return TokenCounts(self.prompt_tokens, sum(choice.tokens for choice in self.choices))
