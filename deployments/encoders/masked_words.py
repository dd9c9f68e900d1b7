"""Fills in masked words with a masked language model, as transformers' fill-mask pipeline does."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from configs.profile import ModelSpec
from deployments.batching.chunks import in_parts
from deployments.encoders.interface import Network
from deployments.encoders.text_encoders import RunBatch, TextEncoder
from deployments.encoders.tokenization import TokenizedText, tokenize
from deployments.encoders.zero_shot import softmax
from deployments.seam.fill_mask import FillMaskRequest, FillMaskResult, TokenPrediction
from deployments.seam.problems import Problem

MAX_QUOTED = 60
"""Characters of a target that an error message quotes."""


@dataclass(frozen=True, slots=True)
class MaskedText(TokenizedText):
    """A text with one mask token, for which the ``top_k`` likeliest of ``targets`` are wanted.

    ``targets`` are token ids; without any, the whole vocabulary counts.
    """

    top_k: int
    targets: tuple[int, ...]


class FilledMask(NamedTuple):
    """The tokens of a text, and those for its mask with their probabilities, likeliest first."""

    ids: array[int]
    candidates: tuple[tuple[int, float], ...]


async def fill_masks(
    encoder: TextEncoder[FilledMask], request: FillMaskRequest
) -> FillMaskResult | Problem:
    """The likeliest tokens for the mask of every text."""
    tokenizer = encoder.tokenizer
    targets = await encoder.batcher.in_thread(_target_ids, tokenizer, request.targets)
    if isinstance(targets, Problem):
        return targets
    read = partial(
        masked_texts,
        tokenizer,
        max_tokens=encoder.max_tokens,
        truncate=request.truncate,
        top_k=request.top_k,
        targets=targets,
    )
    key = ("masked", request.truncate, request.top_k, targets)
    filled, tokens = await encoder.answer_parts(in_parts(request.texts, len), read, key, len)
    items: list[tuple[TokenPrediction, ...] | Problem] = []
    for part in in_parts(filled, _written_tokens):
        items += await encoder.batcher.in_thread(_predictions, tokenizer, part)
    return FillMaskResult(tuple(items), tokens)


def masked_texts(
    tokenizer: Any,
    texts: Sequence[str],
    max_tokens: int,
    *,
    truncate: bool,
    top_k: int,
    targets: tuple[int, ...],
) -> list[MaskedText | Problem]:
    """The tokens of each text, or a problem for one that has not exactly one mask token."""
    mask = _mask_id(tokenizer)
    tokenized = tokenize(tokenizer, texts, max_tokens, truncate=truncate)
    return [
        _one_mask_problem(each, mask, tokenizer.mask_token)
        or MaskedText(each.columns, top_k, targets)
        if isinstance(each, TokenizedText)
        else each
        for each in tokenized
    ]


def open_masked(network: Network, spec: ModelSpec) -> RunBatch[FilledMask]:
    """Raises ``ValueError`` for a model whose tokenizer is not a fast one."""
    if not network.tokenizer.is_fast:
        raise ValueError(f"{spec.name} has no fast tokenizer")

    def run(batch: Sequence[TokenizedText]) -> list[FilledMask | Problem]:
        rows = zip(batch, network(batch), strict=True)
        return [FilledMask(text.columns["input_ids"], _likeliest(text, row)) for text, row in rows]

    return run


def _likeliest(
    text: TokenizedText, logits: npt.NDArray[np.float32]
) -> tuple[tuple[int, float], ...]:
    """The ids and probabilities of the tokens that are wanted for the mask of ``text``."""
    if not isinstance(text, MaskedText):  # of the lane's warm-up
        return ()
    probabilities = softmax(logits.astype(np.float64))
    ids = np.array(text.targets or range(len(probabilities)))
    scores = probabilities[ids]
    count = min(text.top_k, len(ids))
    best = np.argpartition(-scores, count - 1)[:count]
    best = best[np.argsort(-scores[best], kind="stable")]
    return tuple(zip(ids[best].tolist(), scores[best].tolist(), strict=True))


def _target_ids(tokenizer: Any, targets: Sequence[str]) -> tuple[int, ...] | Problem:
    """The token of each target, or a problem for the first that is not one token."""
    found: list[int] = []
    for target in targets:
        ids = _ids_of(tokenizer, target)
        if len(ids) != 1:
            message = f"{target[:MAX_QUOTED]!r} is {len(ids)} tokens of the model; expected one"
            return Problem("validation", message, "targets")
        found += ids
    return tuple(dict.fromkeys(found))


def _ids_of(tokenizer: Any, target: str) -> list[int]:
    """The token of that name, else the tokens of the text."""
    token: int | None = tokenizer.backend_tokenizer.token_to_id(target)
    if token is not None:
        return [token]
    (ids,) = tokenizer([target], add_special_tokens=False)["input_ids"]
    return list(ids)


def _mask_id(tokenizer: Any) -> int:
    found: int = tokenizer.backend_tokenizer.token_to_id(tokenizer.mask_token)
    return found


def _one_mask_problem(text: TokenizedText, mask: int, name: str) -> Problem | None:
    count = text.columns["input_ids"].count(mask)
    if count == 1:
        return None
    return Problem("validation", f"the text has {count} mask tokens; expected one {name}")


def _predictions(
    tokenizer: Any, part: Sequence[FilledMask | Problem]
) -> list[tuple[TokenPrediction, ...] | Problem]:
    """The candidates as texts."""
    backend, mask = tokenizer.backend_tokenizer, _mask_id(tokenizer)
    return [each if isinstance(each, Problem) else _decoded(backend, mask, each) for each in part]


def _decoded(backend: Any, mask: int, filled: FilledMask) -> tuple[TokenPrediction, ...]:
    ids = filled.ids.tolist()
    place = ids.index(mask)
    return tuple(
        TokenPrediction(
            token,
            backend.decode([token], skip_special_tokens=False),
            score,
            backend.decode([*ids[:place], token, *ids[place + 1 :]], skip_special_tokens=True),
        )
        for token, score in filled.candidates
    )


def _written_tokens(filled: FilledMask | Problem) -> int:
    return 0 if isinstance(filled, Problem) else len(filled.ids) * len(filled.candidates)
