"""Summarization: sequence-to-sequence models, texts in, summaries out, decoded greedily.

A summary whose caller was cancelled ends at its next token. A long summary pauses when much
shorter ones wait for the model, and is continued after them from the tokens that it has.
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
from deployments.encoders.padding import Padding
from deployments.encoders.tokenization import TokenizedText, token_limit, tokenize
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.models.family import FamilyDeployment
from deployments.models.pretrained import load_model, load_tokenizer
from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult

TOKENS_BEFORE_PAUSE = 64
"""Tokens that a summary has before it may pause: to continue, the text has to be read again."""

WRITTEN_TOKEN_BYTES = 36
"""Bytes of a written token in its tuple: a pointer and an integer object."""


class SummaryBounds(NamedTuple):
    """The bounds of a summary in tokens, and how many are written already.

    Only passages with equal bounds share a forward.
    """

    max_tokens: int
    min_tokens: int
    written: int

    @property
    def left(self) -> int:
        return self.max_tokens - self.written


@dataclass(frozen=True, slots=True)
class Passage(TokenizedText):
    """A text, and the bounds of its summary in tokens.

    ``ids`` are the tokens of the decoder so far, of which the first is its start token.
    """

    max_new_tokens: int
    min_new_tokens: int
    ids: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        return super(Passage, self).nbytes + WRITTEN_TOKEN_BYTES * len(self.ids)

    @property
    def bounds(self) -> SummaryBounds:
        return SummaryBounds(self.max_new_tokens, self.min_new_tokens, max(0, len(self.ids) - 1))


@dataclass(frozen=True, slots=True)
class Summarizer:
    """One loaded model.

    A text may have ``max_tokens`` tokens with the ``prefix`` that the model wants before it (T5's
    "summarize: "); a summary may have ``max_new_tokens``.
    """

    tokenizer: Any
    max_tokens: int
    prefix: str
    max_new_tokens: int
    lane: Lane[Passage, Summary]
    engine: EngineName = "torch"

    def passages(self, request: SummaryRequest) -> list[Passage | Problem]:
        """The texts of a request as the model reads them."""
        texts = [self.prefix + text for text in request.texts]
        tokenized = tokenize(self.tokenizer, texts, self.max_tokens, truncate=request.truncate)
        bounds = (request.max_new_tokens, request.min_new_tokens)
        return [
            each if isinstance(each, Problem) else Passage(each.features, *bounds)
            for each in tokenized
        ]


class Summarization(FamilyDeployment[Summarizer]):
    """The deployment of the summarization family."""

    tasks: ClassVar[dict[str, str]] = {"summarize": "writes what a text says, in short"}

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        self._batcher = Batcher(config, meter)
        super().__init__(config, SummarizerLoader(config, self._batcher), self._batcher, meter)

    @unavailable_as_problem
    async def summarize(self, request: SummaryRequest) -> SummaryResult | Problem:
        """A summary of every text; a text that is too long fails alone."""
        async with self._models.use(request.model) as model:
            bound = model.max_new_tokens
            request = request.within(bound)
            for field in ("max_new_tokens", "min_new_tokens"):
                if (tokens := getattr(request, field)) > bound:
                    message = f"the model writes up to {bound} tokens, not {tokens}"
                    return Problem("validation", message, field)
            parts = (
                partial(model.passages, replace(request, texts=texts))
                for texts in in_parts(request.texts, len)
            )
            passages = self._batcher.preprocessed(parts)
            summaries = await self._batcher.answers(model.lane, passages)
        return SummaryResult(tuple(summaries))


class SummarizerLoader(BatchedModelLoader[Summarizer]):
    """Loads sequence-to-sequence models."""

    def load(self, spec: ModelSpec) -> Summarizer:
        folder = self._config.folder(spec)
        tokenizer = load_tokenizer(folder, trust_remote_code=spec.trust_remote_code)
        model, device = load_model("AutoModelForSeq2SeqLM", folder, self._config, spec)
        # Checkpoints for summaries bring lengths and beams of their own; here a request decides.
        for name in ("max_length", "min_length", "num_beams", "early_stopping", "length_penalty"):
            setattr(model.generation_config, name, None)
        max_new_tokens = self._config.settings.decode_max_new_tokens
        if (positions := _positions(model.config)) is not None:
            max_new_tokens = min(max_new_tokens, positions)
        run = partial(_summaries, model, tokenizer, device)
        batched = BatchedModel(run, size=len, kind=_bounds, nbytes=_nbytes, by_steps=True)
        return Summarizer(
            tokenizer,
            spec.max_tokens or token_limit(tokenizer, model),
            _prefix(model.config),
            max_new_tokens,
            self._batcher.lane(spec.name, batched),
        )


def _bounds(passage: Passage) -> SummaryBounds:
    return passage.bounds


def _nbytes(passage: Passage) -> int:
    return passage.nbytes


def _summaries(
    model: Any, tokenizer: Any, device: str, batch: Sequence[Passage], steps: DecodeSteps
) -> list[Summary | Paused[Passage]]:
    """Summaries of passages that have the same bounds. A pause leaves all of them unfinished."""
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
    return [_summary(tokenizer, passage, row, ends) for passage, row in pairs]


def _summary(
    tokenizer: Any, passage: Passage, row: Sequence[int], ends: frozenset[int]
) -> Summary | Paused[Passage]:
    """The text of one row of tokens, or the passage to continue if the row has not ended.

    The first token of a row is the decoder's start token.
    """
    ids = _until_the_end(row[1:], ends)
    if len(ids) < passage.max_new_tokens and ids[-1] not in ends:
        return Paused(replace(passage, ids=tuple(row)))
    text = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return Summary(text, len(passage), len(ids))


def _should_pause(bounds: SummaryBounds, steps: DecodeSteps) -> bool:
    """Whether a waiting summary needs less than half of the tokens that this batch still needs."""
    if steps.taken < TOKENS_BEFORE_PAUSE:
        return False
    left = bounds.left - steps.taken
    return any(
        isinstance(kind, SummaryBounds) and 2 * kind.left < left for kind in steps.waiting_kinds()
    )


def _greedy(model: Any, bounds: SummaryBounds) -> Any:
    """The model's own settings, with what remains of the request's bounds."""
    config = deepcopy(model.generation_config)
    min_new_tokens = max(0, bounds.min_tokens - bounds.written)
    config.update(do_sample=False, max_new_tokens=bounds.left, min_new_tokens=min_new_tokens)
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


def _prefix(config: Any) -> str:
    """The text that the checkpoint's authors put before a text to summarise."""
    settings = getattr(config, "task_specific_params", None) or {}
    return str((settings.get("summarization") or {}).get("prefix") or "")
