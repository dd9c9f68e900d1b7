"""Entities in a text, from what a token classifier says of its pieces.

A long text is read in overlapping windows. Words are kept whole, unless the aggregation says
otherwise: a word has one label, seen in the window where it lies furthest from an edge. The names
and meanings of aggregations are those of transformers' token classification pipeline.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.encoders.tokenization import TokenizedText
from deployments.seam.entities import Aggregation, Entity

OUTSIDE = "O"
PIECES = frozenset({"simple", "none"})
"""Aggregations that take every piece by itself."""

OVERLAP = 4
"""Windows share a quarter of their length, so that an entity on an edge is whole in one of them."""

Probabilities = npt.NDArray[np.float32]


NO_WORD = -1


@dataclass(frozen=True, slots=True)
class Window:
    """Part of one text: its tokens, and for each its word and its span of characters.

    All of it in arrays, since a request's windows wait together.
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
        """Each token's word, numbered within the text; ``None`` for special tokens."""
        return tuple(None if word == NO_WORD else word for word in self.word_ids)

    def start(self, token: int) -> int:
        """The first character of a token."""
        return self.edges[2 * token]

    def end(self, token: int) -> int:
        """The character behind a token."""
        return self.edges[2 * token + 1]


@dataclass(frozen=True, slots=True)
class Word:
    """One word, or one piece: ``begins`` when its label says that an entity begins here (B-)."""

    label: str
    begins: bool
    score: float
    start: int
    end: int


def windows(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[Window]]:
    """Each text in windows of up to ``max_tokens`` tokens; needs a fast tokenizer."""
    encoded = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_tokens,
        stride=max_tokens // OVERLAP,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    places = encoded.pop("overflow_to_sample_mapping")
    offsets = encoded.pop("offset_mapping")
    made: list[list[Window]] = [[] for _ in texts]
    for row, place in enumerate(places):
        features = {name: values[row] for name, values in encoded.items()}
        window = Window.of(features, encoded.word_ids(row), offsets[row])
        made[place].append(window)
    return made


class TokenLabels:
    """One text as its windows are seen: of each word, what the one shows that has most around it.

    A long text has thousands of words: windows may be seen in several goes.
    """

    def __init__(self, text: str, aggregation: Aggregation = "first") -> None:
        self.text = text
        self._aggregation = aggregation
        self._words: dict[int, tuple[int, Word]] = {}

    def add_window(
        self, window: Window, probabilities: Probabilities, names: Sequence[str]
    ) -> None:
        """One window; its chances are of shape (tokens, labels)."""
        units = _units(window, self._aggregation)
        if not units:
            return
        rows = _rows(probabilities, list(units.values()), self._aggregation)
        labels, scores = rows.argmax(axis=1).tolist(), rows.max(axis=1).tolist()
        last = len(window.word_ids) - 1
        for (place, pieces), index, score in zip(units.items(), labels, scores, strict=True):
            margin = min(pieces[0], last - pieces[-1])
            if place in self._words and self._words[place][0] >= margin:
                continue
            start, end = window.start(pieces[0]), window.end(pieces[-1])
            name = names[index]
            label, begins = (name, True) if self._aggregation == "none" else _label(name)
            span = _stripped(self.text, start, end)
            self._words[place] = (margin, Word(label, begins, score, *span))

    def entities(self) -> tuple[Entity, ...]:
        """The entities of the text, in order."""
        groups: list[list[Word]] = []
        joins = self._aggregation != "none"
        words = (word for _, (_, word) in sorted(self._words.items()))
        for word in words:
            if word.start >= word.end:
                continue
            if joins and groups and _goes_on(self.text, groups[-1][-1], word):
                groups[-1].append(word)
            else:
                groups.append([word])
        return tuple(_entity(group) for group in groups if group[0].label != OUTSIDE)


def _units(window: Window, aggregation: Aggregation) -> dict[int, list[int]]:
    """Positions of what has a label of its own: words by their number, or pieces by their start."""
    found: dict[int, list[int]] = {}
    for position, word_id in enumerate(window.word_ids):
        if word_id != NO_WORD:
            place = window.start(position) if aggregation in PIECES else word_id
            found.setdefault(place, []).append(position)
    return found


def _rows(
    probabilities: Probabilities, units: Sequence[list[int]], aggregation: Aggregation
) -> Probabilities:
    """The chances of each unit, of shape (units, labels), from those of its pieces."""
    rows: Probabilities = probabilities[[pieces[0] for pieces in units]]
    if aggregation in ("average", "max"):
        for place, pieces in enumerate(units):
            if len(pieces) > 1:
                rows[place] = _joined(probabilities[pieces], aggregation)
    return rows


def _joined(rows: Probabilities, aggregation: Aggregation) -> Probabilities:
    """The mean of the rows of one unit's pieces, or the one that is surest."""
    row: Probabilities = rows.mean(axis=0)
    if aggregation == "max":
        row = rows[int(rows.max(axis=1).argmax())]
    return row


def _label(name: str) -> tuple[str, bool]:
    """A label without its B- or I-, and whether it was B-."""
    tagged = name[:2] in ("B-", "I-")
    return (name[2:] if tagged else name), name.startswith("B-")


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Some tokenizers count the space before a word as part of it."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())


def _goes_on(text: str, before: Word, word: Word) -> bool:
    """Whether a word belongs to the entity that the word before it is in.

    The same label goes on, unless it begins anew. Even then it goes on where it follows without a
    space at a punctuation mark: those are the parts of one address or number.
    """
    if word.label != before.label:
        return False
    if not word.begins:
        return True
    joint = text[before.end - 1] + text[word.start]
    return before.end == word.start and not joint.isalnum()


def _entity(words: Sequence[Word]) -> Entity:
    score = sum(word.score for word in words) / len(words)
    return Entity(words[0].label, score, words[0].start, words[-1].end)
