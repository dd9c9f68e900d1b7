"""Texts as token ids, checked against the model's limit one by one."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deployments.seam.problems import Problem

FLAGS = frozenset({"attention_mask", "token_type_ids"})
"""Features that are small numbers: a byte a token."""

OVERHEAD = 1024
"""Bytes that a waiting text takes beside its tokens: its future, its place in line, its objects."""


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """One text as the model's tokenizer sees it: equally long columns of integers, by name.

    Given as lists and kept as arrays: six bytes a token as a rule, where lists take 57, and
    millions of tokens may wait. The first ``unpooled`` tokens are a prompt's, which are read and
    not pooled.
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
        """What it takes while it waits."""
        return OVERHEAD + sum(int(each.itemsize) * len(each) for each in self.columns.values())


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of texts that a model reads together; ``subject`` is what a client calls a pair.

    ``shortened`` is the side that may be cut; the other one is always read whole.
    """

    firsts: tuple[str, ...]
    seconds: tuple[str, ...]
    shortened: Literal["first", "second"]
    subject: str

    @property
    def kept(self) -> tuple[str, ...]:
        return self.seconds if self.shortened == "first" else self.firsts


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_tokens: int, *, truncate: bool, unpooled: int = 0
) -> list[TokenizedText | Problem]:
    """Each text's tokens, cut to ``max_tokens`` with ``truncate``, else a problem if longer.

    Pooling leaves the first ``unpooled`` of them out; a text that has no others is a problem.
    """
    encoded = tokenizer(
        list(texts), truncation=truncate, max_length=max_tokens if truncate else None, verbose=False
    )
    made = [_checked(encoded, i, max_tokens, "the text has") for i in range(len(texts))]
    return [_behind(text, unpooled) for text in made] if unpooled else made


def _behind(text: TokenizedText | Problem, unpooled: int) -> TokenizedText | Problem:
    if isinstance(text, Problem):
        return text
    if unpooled >= len(text):
        return Problem("validation", "the model's prompt leaves no room for the text")
    return TokenizedText(text.features, unpooled=unpooled)


def tokenize_pairs(
    tokenizer: Any, pairs: Pairs, max_tokens: int, *, truncate: bool
) -> list[TokenizedText | Problem]:
    """Each pair's tokens; with ``truncate`` its shortened side is cut, else too many are a problem.

    A kept side that leaves no room for one token of the other is a problem in any case.
    """
    full = crowding(tokenizer, pairs.kept, max_tokens)
    made: list[TokenizedText | Problem] = [
        full.get(kept, Problem("internal", "not tokenized")) for kept in pairs.kept
    ]
    good = [i for i, kept in enumerate(pairs.kept) if kept not in full]
    if not good:
        return made
    encoded = tokenizer(
        [pairs.firsts[i] for i in good],
        [pairs.seconds[i] for i in good],
        truncation=f"only_{pairs.shortened}" if truncate else False,
        max_length=max_tokens if truncate else None,
        verbose=False,
    )
    for place, i in enumerate(good):
        made[i] = _checked(encoded, place, max_tokens, f"{pairs.subject} have together")
    return made


def crowding(tokenizer: Any, kept: Sequence[str], max_tokens: int) -> dict[str, Problem]:
    """Those of ``kept`` that leave no room for a token of the other side of their pair."""
    unique = list(dict.fromkeys(kept))
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


def token_limit(tokenizer: Any, model: Any) -> int:
    """Tokens a text: the smaller of what tokenizer and position embeddings take."""
    return configured_limit(tokenizer, model.config)


def configured_limit(tokenizer: Any, config: Any) -> int:
    """The same by the configuration of a model, or of the part of it that reads texts.

    RoBERTa's position ids start after its padding id, so some of its positions are never used.
    """
    positions = int(getattr(config, "max_position_embeddings", 512))
    offset = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    return min(int(tokenizer.model_max_length), positions - offset)


def _checked(encoded: Any, index: int, max_tokens: int, subject: str) -> TokenizedText | Problem:
    features = {name: values[index] for name, values in encoded.items()}
    count = len(features["input_ids"])
    if count > max_tokens:
        message = f"{subject} {count} tokens; the model takes {max_tokens}"
        return Problem("validation", f"{message} (or set truncate)")
    return TokenizedText(features)
