"""The values that travel between the ingress and the model side.

Everything here is a plain, picklable value: no request objects, no exceptions, no tensors of a
framework. Both sides import this module, so it imports neither torch nor a web framework.

A failure that belongs to the request travels as a :class:`Problem` in the place of the answer.
Exceptions are left for what nobody foresaw, and never carry data across the seam.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

FinishReason: TypeAlias = Literal["stop", "length", "cancelled"]
ProblemKind: TypeAlias = Literal[
    "validation", "not_found", "overloaded", "unavailable", "timeout", "internal"
]
Stage: TypeAlias = Literal["fetching", "loading", "warm", "leaving"]
Vectors: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one item got no answer. ``message`` is shown to the client: it names no internals."""

    kind: ProblemKind
    message: str
    field: str | None = None


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


class Alternative(NamedTuple):
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
    alternatives: tuple[Alternative, ...] = ()


class CallMarks(NamedTuple):
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
    new ones; a stop string still ends the text, and with ``last_call`` so does the end of the first
    call that has those marks. Of a prompt only the last ``keep_last`` tokens are
    read, where that is given. With ``truncate`` the end of a chat's last message is cut off where
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
    last_call: CallMarks | None = None
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
class Burst:
    """The tokens that were ready together; one item of a stream. Never empty.

    ``device`` is where the engine decodes: ``cpu``, ``cuda:0``, ... Pickled by columns: a tenth of
    the time that it takes token by token.
    """

    prompt_tokens: int
    tokens: tuple[Token, ...]
    device: str = "cpu"

    def __reduce__(self) -> tuple[Any, ...]:
        return _burst, (self.prompt_tokens, self.device, *zip(*self.tokens, strict=True))


def _burst(prompt_tokens: int, device: str, *columns: tuple[Any, ...]) -> Burst:
    tokens = tuple(map(Token._make, zip(*columns, strict=True)))
    return Burst(prompt_tokens, tokens, device)


@dataclass(frozen=True, slots=True)
class Choice:
    """One text. ``special`` says of each of ``logprobs`` whether its token has no text."""

    text: str
    finish_reason: FinishReason
    tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    stop_string: str | None = None
    special: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """A whole answer: ``choices`` in order, each with its own count of tokens.

    ``device`` is as in :class:`Burst`.
    """

    prompt_tokens: int
    choices: tuple[Choice, ...]
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed. ``batch_size`` bounds the texts of one forward of this request.

    ``prompt_name`` is one of the prompts that the model was published with: it goes before each.
    ``None`` is the model's default prompt, where it has one.
    """

    model: str
    texts: tuple[str, ...]
    normalize: bool = True
    truncate: bool = False
    batch_size: int | None = None
    dimensions: int | None = None
    prompt_name: str | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """``vectors`` is float32 of shape (texts, dimensions), ``tokens`` what each text counted.

    A text with an entry in ``problems`` has a row of zeros.
    """

    vectors: Vectors
    tokens: tuple[int, ...]
    problems: Mapping[int, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    embedding: EmbeddingRequest
    n_clusters: int


@dataclass(frozen=True, slots=True)
class Clustered:
    """``labels`` is one cluster a text; ``centers`` float32 of shape (clusters, dimensions)."""

    labels: tuple[int, ...]
    centers: Vectors
    problems: Mapping[int, Problem] = field(default_factory=dict)
    tokens: tuple[int, ...] = ()


ScoreFunction: TypeAlias = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True)
class ClassificationRequest:
    """``scores`` makes scores of the model's logits; ``None`` is what the model was trained for."""

    model: str
    texts: tuple[str, ...]
    truncate: bool = False
    scores: ScoreFunction | None = None


@dataclass(frozen=True, slots=True)
class LabelScore:
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Classified:
    """One entry a text, in order: its labels best first, or why it has none.

    ``tokens`` are those that were read, where the model counts any.
    """

    items: tuple[tuple[LabelScore, ...] | Problem, ...]
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ZeroShotRequest:
    """Texts to score against labels that no model was trained on.

    The scores of a text's labels sum to one, unless ``multi_label``: then each is independent.
    ``template`` makes a label a sentence by its ``{}``; ``None`` leaves it to the model's kind.
    Answered by :class:`Classified`.
    """

    model: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    multi_label: bool = False
    template: str | None = None
    truncate: bool = False


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """Documents to score against a query; ``truncate`` cuts documents, never the query."""

    model: str
    query: str
    documents: tuple[str, ...]
    truncate: bool = False


@dataclass(frozen=True, slots=True)
class Reranked:
    """One raw score (a logit) a document, in order; ``tokens`` is what query and document count."""

    items: tuple[float | Problem, ...]
    tokens: tuple[int, ...]


Aggregation: TypeAlias = Literal["first", "average", "max", "simple", "none"]


@dataclass(frozen=True, slots=True)
class EntityRequest:
    """Texts to search for entities.

    Of a word's pieces the ``first``, their ``average`` or the surest (``max``) says what the whole
    word is. ``simple`` joins pieces whatever word they are of, and ``none`` joins nothing: each
    piece is an entity, under the model's own tag.
    """

    model: str
    texts: tuple[str, ...]
    aggregation: Aggregation = "first"


@dataclass(frozen=True, slots=True)
class Entity:
    """A named span: ``start`` and ``end`` index the text's characters, as Python counts them."""

    label: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Recognised:
    """One entry a text, in order: its entities in order of appearance, or why there are none."""

    items: tuple[tuple[Entity, ...] | Problem, ...]
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SummaryRequest:
    """Texts to summarise greedily, each in ``min_new_tokens`` to ``max_new_tokens`` tokens."""

    request_id: str
    model: str
    texts: tuple[str, ...]
    max_new_tokens: int
    min_new_tokens: int = 0
    truncate: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    text: str
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Summarised:
    """One summary a text, in order, or why it has none."""

    items: tuple[Summary | Problem, ...]


@dataclass(frozen=True, slots=True)
class ImageClassificationRequest:
    """One image to name. ``image`` is an encoded file (JPEG, PNG, ...) whose header was checked.

    With ``labels`` the model scores those (zero-shot), each made a sentence by ``template``'s
    ``{}``; without them the ones it was trained on, and ``scores`` makes scores of its logits,
    ``None`` as it was trained. Answered by :class:`Classified`, one item.
    """

    model: str
    image: bytes
    top_k: int = 5
    labels: tuple[str, ...] = ()
    template: str | None = None
    scores: ScoreFunction | None = None


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """One image to describe. ``prompt`` is how the caption begins, where the model takes that."""

    model: str
    image: bytes
    prompt: str | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class VisualQuestionRequest:
    model: str
    image: bytes
    question: str
    top_k: int = 1


@dataclass(frozen=True, slots=True)
class VisualAnswer:
    """``score`` is from 0 to 1; ``None`` from models that write their answer."""

    answer: str
    score: float | None


@dataclass(frozen=True, slots=True)
class VisualAnswers:
    """The answers to one question, best first."""

    items: tuple[VisualAnswer, ...]


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """One image to search for objects; those with a score below ``threshold`` are left out."""

    model: str
    image: bytes
    threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Detection:
    """One object; the box is in pixels of the image as a viewer shows it, inside its bounds."""

    label: str
    score: float
    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True, slots=True)
class Detected:
    """The objects of one image, best first, those that overlap a better one left out."""

    items: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """Load or unload ``model``, giving up after ``within_s`` seconds."""

    model: str
    within_s: float


@dataclass(frozen=True, slots=True)
class CudaMemory:
    """Bytes on one replica's GPU, as PyTorch counts them."""

    allocated: int = 0
    cached: int = 0
    max_allocated: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """One model of a replica, in memory (``warm``) or on its way there.

    Bytes are measured: what loading it added to the replica's process, and what a process of the
    model's own takes now. ``seconds`` is how long loading took, ``engine`` what runs the model.
    """

    model: str
    stage: Stage
    host_bytes: int = 0
    gpu_bytes: int = 0
    seconds: float = 0.0
    engine: str = ""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """The limits that a replica of ``family`` keeps to, by their names in ``user_config``.

    ``refused`` says what is wrong with the last ``user_config``, if the replica did not take it.
    """

    family: str
    in_force: dict[str, float]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What one replica holds at a moment, and the live limits that it keeps to."""

    replica: str
    node: str
    holdings: tuple[Holding, ...]
    cuda: CudaMemory = field(default_factory=CudaMemory)
    limits: LiveLimits | None = None


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A replica no longer holds a model; ``freed_bytes`` is by how much its memory fell."""

    replica: str
    node: str
    freed_bytes: int
    seconds: float
