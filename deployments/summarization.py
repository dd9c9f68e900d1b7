"""Summarization: sequence-to-sequence models, texts in, texts out, decoded greedily.

They translate and write other texts as well, as a model's tasks say. A text whose caller was
cancelled ends at its next token. A long text pauses when much shorter ones wait for the model, and
is continued after them from the tokens that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

from configs.engines import EngineName
from configs.profile import ModelSpec
from deployments.batching.batch_runner import BatchedModel, Paused
from deployments.batching.batcher import Batcher
from deployments.batching.chunks import in_parts
from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.lane import Lane
from deployments.batching.model_loader import BatchedModelLoader
from deployments.encoders.instructions import (
    Instruction,
    summary_instruction,
    translation_instruction,
)
from deployments.encoders.padding import Padding
from deployments.encoders.tokenization import TokenizedText, token_limit, tokenize
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.models.family import FamilyDeployment
from deployments.models.pretrained import load_model, load_tokenizer
from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult
from deployments.seam.text2text import Text2TextOutput, Text2TextRequest, Text2TextResult

TOKENS_BEFORE_PAUSE = 64
"""Tokens that a text has before it may pause: to continue, its passage has to be read again."""

NEW_TOKENS = 256
"""The maximum of new tokens of a text, where neither the request nor the model sets one."""

WRITTEN_TOKEN_BYTES = 36
"""Bytes of a written token in its tuple: a pointer and an integer object."""


class TextBounds(NamedTuple):
    """The bounds of a text in tokens, how many are written already, and the first of them.

    Only passages with equal bounds share a forward. ``first`` is ``None`` if the model chooses it.
    """

    max_tokens: int
    min_tokens: int
    written: int
    first: int | None

    @property
    def left(self) -> int:
        return self.max_tokens - self.written


@dataclass(frozen=True, slots=True)
class Passage(TokenizedText):
    """What the model reads, and the bounds of the text that it writes, in tokens.

    ``ids`` are the tokens of the decoder so far, of which the first is its start token.
    """

    max_new_tokens: int
    min_new_tokens: int
    first_token: int | None = None
    ids: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        return super(Passage, self).nbytes + WRITTEN_TOKEN_BYTES * len(self.ids)

    @property
    def bounds(self) -> TextBounds:
        written = max(0, len(self.ids) - 1)
        return TextBounds(self.max_new_tokens, self.min_new_tokens, written, self.first_token)


@dataclass(frozen=True, slots=True)
class Seq2SeqOptions:
    """How the texts of a request are read and what is written from each."""

    instruction: Instruction
    max_new_tokens: int
    min_new_tokens: int
    truncate: bool


@dataclass(frozen=True, slots=True)
class Seq2SeqModel:
    """One loaded model.

    A text may have ``max_tokens`` tokens with what the model is told before it; a text that it
    writes may have ``max_new_tokens``.
    """

    tokenizer: Any
    config: Any
    max_tokens: int
    max_new_tokens: int
    lane: Lane[Passage, Text2TextOutput]
    engine: EngineName = "torch"

    def passages(self, order: Seq2SeqOptions, texts: Sequence[str]) -> list[Passage | Problem]:
        """The texts of a request as the model reads them. Not in two threads at a time."""
        if order.instruction.source is not None:
            self.tokenizer.src_lang = order.instruction.source  # a state of the tokenizer
        told = [order.instruction.prefix + text for text in texts]
        tokenized = tokenize(self.tokenizer, told, self.max_tokens, truncate=order.truncate)
        bounds = (order.max_new_tokens, order.min_new_tokens, order.instruction.first_token)
        return [
            each if isinstance(each, Problem) else Passage(each.features, *bounds)
            for each in tokenized
        ]


class Summarization(FamilyDeployment[Seq2SeqModel]):
    """The deployment of sequence-to-sequence models. A text that is too long fails alone."""

    tasks: ClassVar[dict[str, str]] = {
        "summarize": "writes what a text says, in short",
        "translate": "writes texts in another language",
        "text2text": "writes a text from a text, as the model was trained to",
    }

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        self._batcher = Batcher(config, meter)
        super().__init__(config, Seq2SeqLoader(config, self._batcher), self._batcher, meter)

    @unavailable_as_problem
    async def summarize(self, request: SummaryRequest) -> SummaryResult | Problem:
        """A summary of every text."""
        async with self._models.use(request.model) as model:
            request = request.within(model.max_new_tokens)
            order = Seq2SeqOptions(
                summary_instruction(model.config),
                request.max_new_tokens,
                request.min_new_tokens,
                request.truncate,
            )
            written = await self._write(model, order, request.texts)
        if isinstance(written, Problem):
            return written
        return SummaryResult(
            tuple(each if isinstance(each, Problem) else Summary(*each) for each in written)
        )

    @unavailable_as_problem
    async def text2text(self, request: Text2TextRequest) -> Text2TextResult | Problem:
        """A translation of every text, or whatever the model writes from it."""
        source, target = request.source_lang, request.target_lang
        async with self._models.use(request.model) as model:
            instruction: Instruction | Problem = Instruction()
            if request.translate or source is not None or target is not None:
                instruction = translation_instruction(model.tokenizer, model.config, source, target)
            if isinstance(instruction, Problem):
                return instruction
            max_new_tokens = request.max_new_tokens or min(NEW_TOKENS, model.max_new_tokens)
            order = Seq2SeqOptions(instruction, max_new_tokens, 0, request.truncate)
            written = await self._write(model, order, request.texts)
        return written if isinstance(written, Problem) else Text2TextResult(tuple(written))

    async def _write(
        self, model: Seq2SeqModel, order: Seq2SeqOptions, texts: Sequence[str]
    ) -> list[Text2TextOutput | Problem] | Problem:
        """What the model writes from each text."""
        bound = model.max_new_tokens
        for field in ("max_new_tokens", "min_new_tokens"):
            if (tokens := getattr(order, field)) > bound:
                message = f"the model writes up to {bound} tokens, not {tokens}"
                return Problem("validation", message, field)
        parts = (partial(model.passages, order, some) for some in in_parts(texts, len))
        return await self._batcher.answers(
            model.lane, self._batcher.preprocessed(model.lane.name, parts)
        )


class Seq2SeqLoader(BatchedModelLoader[Seq2SeqModel]):
    """Loads sequence-to-sequence models."""

    def load(self, spec: ModelSpec) -> Seq2SeqModel:
        folder = self._config.folder(spec)
        tokenizer = load_tokenizer(folder, trust_remote_code=spec.trust_remote_code)
        model, device = load_model("AutoModelForSeq2SeqLM", folder, self._config, spec)
        # Checkpoints bring lengths and beams of their own; here a request decides.
        for name in ("max_length", "min_length", "num_beams", "early_stopping", "length_penalty"):
            setattr(model.generation_config, name, None)
        max_new_tokens = self._config.settings.decode_max_new_tokens
        if (positions := _positions(model.config)) is not None:
            max_new_tokens = min(max_new_tokens, positions)
        run = partial(_texts, model, tokenizer, device)
        batched = BatchedModel(run, size=len, kind=_bounds, nbytes=_nbytes, by_steps=True)
        return Seq2SeqModel(
            tokenizer,
            model.config,
            spec.max_tokens or token_limit(tokenizer, model),
            max_new_tokens,
            self._batcher.lane(spec.name, batched),
        )


def _bounds(passage: Passage) -> TextBounds:
    return passage.bounds


def _nbytes(passage: Passage) -> int:
    return passage.nbytes


def _texts(
    model: Any, tokenizer: Any, device: str, batch: Sequence[Passage], steps: DecodeSteps
) -> list[Text2TextOutput | Paused[Passage]]:
    """The texts of passages that have the same bounds. A pause leaves all of them unfinished."""
    import torch

    from deployments.batching.greedy_decoding import stopping

    bounds = batch[0].bounds
    features = Padding.of(tokenizer)(batch)
    inputs = {
        name: torch.from_numpy(features[name]).to(device)
        for name in ("input_ids", "attention_mask")
    }
    if bounds.written:
        inputs["decoder_input_ids"] = torch.tensor([each.ids for each in batch], device=device)
    with torch.inference_mode():
        rows = model.generate(
            **inputs,
            generation_config=_greedy(model, bounds),
            stopping_criteria=stopping(steps, partial(_should_pause, bounds, steps)),
        )
    ends = _end_tokens(model.generation_config)
    pairs = zip(batch, rows.tolist(), strict=True)
    return [_text(tokenizer, passage, row, ends) for passage, row in pairs]


def _text(
    tokenizer: Any, passage: Passage, row: Sequence[int], ends: frozenset[int]
) -> Text2TextOutput | Paused[Passage]:
    """The text of one row of tokens, or the passage to continue if the row has not ended.

    The first token of a row is the decoder's start token.
    """
    ids = _until_the_end(row[1:], ends)
    if len(ids) < passage.max_new_tokens and ids[-1] not in ends:
        return Paused(replace(passage, ids=tuple(row)))
    text = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return Text2TextOutput(text, len(passage), len(ids))


def _should_pause(bounds: TextBounds, steps: DecodeSteps) -> bool:
    """Whether a waiting text needs less than half of the tokens that this batch still needs."""
    if steps.taken < TOKENS_BEFORE_PAUSE:
        return False
    left = bounds.left - steps.taken
    return any(
        isinstance(kind, TextBounds) and 2 * kind.left < left for kind in steps.waiting_kinds()
    )


def _greedy(model: Any, bounds: TextBounds) -> Any:
    """The model's own settings, with what remains of the request's bounds."""
    config = deepcopy(model.generation_config)
    min_new_tokens = max(0, bounds.min_tokens - bounds.written)
    config.update(do_sample=False, max_new_tokens=bounds.left, min_new_tokens=min_new_tokens)
    if bounds.first is not None:
        config.forced_bos_token_id = bounds.first
    return config


def _end_tokens(config: Any) -> frozenset[int]:
    ends = config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [ends])


def _until_the_end(ids: Sequence[int], ends: frozenset[int]) -> Sequence[int]:
    """A row without the padding after its end token, which belongs to the row."""
    last = next((index for index, token in enumerate(ids) if token in ends), len(ids))
    return ids[: last + 1]


def _positions(config: Any) -> int | None:
    """The positions of the decoder; ``None`` where it has no table of positions."""
    decoder = getattr(config, "decoder", None) or config
    names = ("max_decoder_position_embeddings", "max_position_embeddings")
    found = (getattr(decoder, name, None) for name in names)
    return next((int(number) for number in found if number), None)
