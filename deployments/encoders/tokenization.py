"""Tokenizes texts and pairs of texts, and checks each against the model's limit."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deployments.seam.problems import Problem, over_window

FLAGS = frozenset({"attention_mask", "token_type_ids"})
"""Features whose values fit in a byte."""

OVERHEAD = 1024
"""Bytes that a waiting text takes in addition to its tokens: its future, its queue entry, ..."""


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """The tokens of one text: columns of integers by feature, all of the same length.

    Lists become arrays, since millions of tokens may wait: usually six bytes for each token
    instead of 57. The first ``unpooled`` tokens are a prompt, which is not pooled.
    """

    columns: Mapping[str, Any]
    unpooled: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        columns = {
            name: array("b" if name in FLAGS else "i", values)
            for name, values in self.columns.items()
        }
        object.__setattr__(self, "columns", columns)

    def __len__(self) -> int:
        return len(self.columns["input_ids"])

    @property
    def features(self) -> dict[str, list[int]]:
        """The columns as lists."""
        return {name: column.tolist() for name, column in self.columns.items()}

    @property
    def nbytes(self) -> int:
        """Bytes that the text takes while it waits."""
        return OVERHEAD + sum(int(each.itemsize) * len(each) for each in self.columns.values())


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of texts that a model reads together. ``subject`` names a pair in error messages.

    ``shortened`` is the side that may be truncated; the other side is never cut.
    """

    firsts: tuple[str, ...]
    seconds: tuple[str, ...]
    shortened: Literal["first", "second"]
    subject: str

    @property
    def untruncated(self) -> tuple[str, ...]:
        """The sides that are never cut."""
        return self.seconds if self.shortened == "first" else self.firsts


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_tokens: int, *, truncate: bool, unpooled: int = 0
) -> list[TokenizedText | Problem]:
    """The tokens of each text, or a problem for one that is longer than ``max_tokens``.

    With ``truncate`` a longer text is cut. A text with no more than the ``unpooled`` tokens of its
    prompt is a problem.
    """
    encoded = tokenizer(
        list(texts), truncation=truncate, max_length=max_tokens if truncate else None, verbose=False
    )
    results = [_checked(encoded, i, max_tokens, "the text has") for i in range(len(texts))]
    return [_without_prompt(text, unpooled) for text in results] if unpooled else results


def _without_prompt(text: TokenizedText | Problem, unpooled: int) -> TokenizedText | Problem:
    if isinstance(text, Problem):
        return text
    if unpooled >= len(text):
        return Problem("validation", "the model's prompt leaves no room for the text")
    return TokenizedText(text.features, unpooled=unpooled)


def tokenize_pairs(
    tokenizer: Any, pairs: Pairs, max_tokens: int, *, truncate: bool
) -> list[TokenizedText | Problem]:
    """The tokens of each pair, or a problem for one with more than ``max_tokens``.

    With ``truncate`` the shortened side of a longer pair is cut. A pair whose other side leaves no
    room for one token is always a problem.
    """
    too_long = too_long_sides(tokenizer, pairs.untruncated, max_tokens)
    results: list[TokenizedText | Problem] = [
        too_long.get(side, Problem("internal", "not tokenized")) for side in pairs.untruncated
    ]
    fitting = [i for i, side in enumerate(pairs.untruncated) if side not in too_long]
    if not fitting:
        return results
    encoded = tokenizer(
        [pairs.firsts[i] for i in fitting],
        [pairs.seconds[i] for i in fitting],
        truncation=f"only_{pairs.shortened}" if truncate else False,
        max_length=max_tokens if truncate else None,
        verbose=False,
    )
    for place, i in enumerate(fitting):
        results[i] = _checked(encoded, place, max_tokens, f"{pairs.subject} have together")
    return results


def too_long_sides(
    tokenizer: Any, untruncated: Sequence[str], max_tokens: int
) -> dict[str, Problem]:
    """A problem for each text that leaves no room for a token of its pair's other side."""
    unique = list(dict.fromkeys(untruncated))
    if not unique:
        return {}
    encoded = tokenizer(unique, add_special_tokens=False, verbose=False)["input_ids"]
    room = max_tokens - int(tokenizer.num_special_tokens_to_add(pair=True))
    return {
        text: Problem(
            "validation",
            f"{text[:40]!r} has {len(ids)} tokens, which leaves no room beside it: "
            f"the model takes {max_tokens} in all",
        )
        for text, ids in zip(unique, encoded, strict=True)
        if len(ids) >= room
    }


def cut_texts(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> tuple[str, ...]:
    """The texts, each cut to its first ``max_tokens`` tokens; special tokens are not counted."""
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    return tuple(
        text[: offsets[max_tokens - 1][1]] if len(offsets) > max_tokens else text
        for text, offsets in zip(texts, encoded["offset_mapping"], strict=True)
    )


def token_limit(tokenizer: Any, model: Any) -> int:
    """Tokens that a text may have: the smaller limit of tokenizer and position embeddings."""
    return configured_limit(tokenizer, model.config)


def configured_limit(tokenizer: Any, config: Any) -> int:
    """The same limit, from the configuration of a model or of its text encoder.

    RoBERTa's position ids start after its padding id, so some of its positions are never used.
    """
    positions = int(getattr(config, "max_position_embeddings", 512))
    offset = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    return min(int(tokenizer.model_max_length), positions - offset)


def _checked(encoded: Any, index: int, max_tokens: int, subject: str) -> TokenizedText | Problem:
    features = {name: values[index] for name, values in encoded.items()}
    count = len(features["input_ids"])
    if count > max_tokens:
        message = f"{subject} {count} tokens. {over_window(max_tokens)}"
        return Problem("context_length", f"{message} (shorten the text, or set truncate)")
    return TokenizedText(features)
