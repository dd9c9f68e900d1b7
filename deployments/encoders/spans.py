"""Named entities of a text, from a token classifier's probabilities for the text's windows.

A long text is read in overlapping windows. A word has one label, unless the aggregation says
otherwise; it is taken from the window in which the word is furthest from an edge. The aggregations
are those of transformers' token classification pipeline.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from deployments.encoders.tokenization import TokenizedText
from deployments.seam.entities import Aggregation, Entity

OUTSIDE = "O"
BY_TOKEN = frozenset({"simple", "none"})
"""Aggregations that label each token by itself."""

OVERLAP = 4
"""Windows share a quarter of their length, so that an entity at an edge is whole in one of them."""

Probabilities: TypeAlias = npt.NDArray[np.float32]

NO_WORD = -1
"""The word of special tokens."""


@dataclass(frozen=True, slots=True)
class Window:
    """Part of one text: its tokens, and the word and the characters of each token.

    They are arrays, since all windows of a request are in memory together.
    """

    tokens: TokenizedText
    word_ids: array[int]
    edges: array[int]

    @classmethod
    def of(
        cls,
        features: Mapping[str, Sequence[int]],
        words: Iterable[int | None],
        offsets: Iterable[tuple[int, int]],
    ) -> Window:
        numbers = (NO_WORD if word is None else word for word in words)
        return cls(TokenizedText(features), array("i", numbers), array("i", chain(*offsets)))

    @property
    def words(self) -> tuple[int | None, ...]:
        """The number of each token's word within the text; ``None`` for special tokens."""
        return tuple(None if word == NO_WORD else word for word in self.word_ids)

    def start(self, token: int) -> int:
        """Index of the first character of a token."""
        return self.edges[2 * token]

    def end(self, token: int) -> int:
        """Index of the character after a token."""
        return self.edges[2 * token + 1]


@dataclass(frozen=True, slots=True)
class Word:
    """A labelled word, or token. ``begins`` if its label says that an entity begins here (B-)."""

    label: str
    begins: bool
    score: float
    start: int
    end: int


def windows(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[Window]]:
    """The windows of each text, of up to ``max_tokens`` tokens. Needs a fast tokenizer."""
    encoded = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_tokens,
        stride=max_tokens // OVERLAP,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    samples = encoded.pop("overflow_to_sample_mapping")
    offsets = encoded.pop("offset_mapping")
    result: list[list[Window]] = [[] for _ in texts]
    for row, sample in enumerate(samples):
        features = {name: values[row] for name, values in encoded.items()}
        window = Window.of(features, encoded.word_ids(row), offsets[row])
        result[sample].append(window)
    return result


class TokenLabels:
    """Collects the labels of a text's words, window by window.

    Of a word in several windows, the label of the window with the most context around it counts.
    """

    def __init__(self, text: str, aggregation: Aggregation = "first") -> None:
        self.text = text
        self._aggregation = aggregation
        self._words: dict[int, tuple[int, Word]] = {}  # with the tokens between it and an edge

    def add_window(
        self, window: Window, probabilities: Probabilities, names: Sequence[str]
    ) -> None:
        """Add a window, with its probabilities of shape (tokens, labels)."""
        units = _units(window, self._aggregation)
        if not units:
            return
        rows = _rows(probabilities, list(units.values()), self._aggregation)
        labels, scores = rows.argmax(axis=1).tolist(), rows.max(axis=1).tolist()
        last = len(window.word_ids) - 1
        for (unit, tokens), index, score in zip(units.items(), labels, scores, strict=True):
            margin = min(tokens[0], last - tokens[-1])
            if unit in self._words and self._words[unit][0] >= margin:
                continue
            start, end = window.start(tokens[0]), window.end(tokens[-1])
            name = names[index]
            label, begins = (name, True) if self._aggregation == "none" else _label(name)
            span = _stripped(self.text, start, end)
            self._words[unit] = (margin, Word(label, begins, score, *span))

    def entities(self) -> tuple[Entity, ...]:
        """The entities of the text, in order of appearance."""
        groups: list[list[Word]] = []
        joins = self._aggregation != "none"
        words = (word for _, (_, word) in sorted(self._words.items()))
        for word in words:
            if word.start >= word.end:
                continue
            if joins and groups and _continues(self.text, groups[-1][-1], word):
                groups[-1].append(word)
            else:
                groups.append([word])
        return tuple(_entity(group) for group in groups if group[0].label != OUTSIDE)


def _units(window: Window, aggregation: Aggregation) -> dict[int, list[int]]:
    """The positions of the tokens of each unit that gets a label: a word by its number, or a single
    token by its first character."""
    found: dict[int, list[int]] = {}
    for position, word_id in enumerate(window.word_ids):
        if word_id != NO_WORD:
            unit = window.start(position) if aggregation in BY_TOKEN else word_id
            found.setdefault(unit, []).append(position)
    return found


def _rows(
    probabilities: Probabilities, units: Sequence[list[int]], aggregation: Aggregation
) -> Probabilities:
    """The probabilities of each unit, of shape (units, labels), from those of its tokens."""
    rows: Probabilities = probabilities[[tokens[0] for tokens in units]]
    if aggregation in ("average", "max"):
        for index, tokens in enumerate(units):
            if len(tokens) > 1:
                rows[index] = _combined(probabilities[tokens], aggregation)
    return rows


def _combined(rows: Probabilities, aggregation: Aggregation) -> Probabilities:
    """The mean of the rows of a unit's tokens, or (``max``) the row of the most certain one."""
    row: Probabilities = rows.mean(axis=0)
    if aggregation == "max":
        row = rows[int(rows.max(axis=1).argmax())]
    return row


def _label(name: str) -> tuple[str, bool]:
    """A label without its prefix B- or I-, and whether that was B-."""
    tagged = name[:2] in ("B-", "I-")
    return (name[2:] if tagged else name), name.startswith("B-")


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space: some tokenizers count the space before a word as part of it."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())


def _continues(text: str, before: Word, word: Word) -> bool:
    """Whether ``word`` continues the entity of the word before it.

    It does if it has the same label without B-. With B- it only does if it is joined to the word
    before by punctuation without a space, as the parts of an address or a number are.
    """
    if word.label != before.label:
        return False
    if not word.begins:
        return True
    characters = text[before.end - 1] + text[word.start]
    return before.end == word.start and not characters.isalnum()


def _entity(words: Sequence[Word]) -> Entity:
    score = sum(word.score for word in words) / len(words)
    return Entity(words[0].label, score, words[0].start, words[-1].end)
