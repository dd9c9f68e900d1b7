"""Entities in a text, from what a token classifier says of its pieces.

A long text is read in overlapping windows. Words are kept whole, unless the aggregation says
otherwise: a word has one label, seen in the window where it lies furthest from an edge. The names
and meanings of aggregations are those of transformers' token classification pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.seam import Aggregation, Entity
from deployments.texts import TokenizedText

OUTSIDE = "O"
PIECES = frozenset({"simple", "none"})
"""Aggregations that take every piece by itself."""

OVERLAP = 4
"""Windows share a quarter of their length, so that an entity on an edge is whole in one of them."""

Chances = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """Part of one text: its tokens, and for each its word and its span of characters.

    ``words`` numbers the words within the text, ``None`` for special tokens.
    """

    tokens: TokenizedText
    words: tuple[int | None, ...]
    offsets: tuple[tuple[int, int], ...]


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
        features = {name: list(values[row]) for name, values in encoded.items()}
        spans = tuple((int(start), int(end)) for start, end in offsets[row])
        window = Window(TokenizedText(features), tuple(encoded.word_ids(row)), spans)
        made[place].append(window)
    return made


def entities(
    text: str,
    seen: Iterable[tuple[Window, Chances]],
    names: Sequence[str],
    aggregation: Aggregation = "first",
) -> tuple[Entity, ...]:
    """The entities of ``text``; chances are of shape (tokens, labels), one array a window."""
    groups: list[list[Word]] = []
    joins = aggregation != "none"
    for word in _words(text, seen, names, aggregation):
        if joins and groups and _goes_on(text, groups[-1][-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return tuple(_entity(group) for group in groups if group[0].label != OUTSIDE)


def _words(
    text: str,
    seen: Iterable[tuple[Window, Chances]],
    names: Sequence[str],
    aggregation: Aggregation,
) -> list[Word]:
    """Every word once, in order, from the window that shows most of its surroundings."""
    best: dict[int, tuple[int, Word]] = {}
    for window, chances in seen:
        last = len(window.words) - 1
        for place, pieces in _units(window, aggregation).items():
            margin = min(pieces[0], last - pieces[-1])
            if place in best and best[place][0] >= margin:
                continue
            start, end = window.offsets[pieces[0]][0], window.offsets[pieces[-1]][1]
            row = _row(chances[pieces], aggregation)
            name = names[int(row.argmax())]
            label, begins = (name, True) if aggregation == "none" else _label(name)
            span = _stripped(text, start, end)
            best[place] = (margin, Word(label, begins, float(row.max()), *span))
    return [word for _, (_, word) in sorted(best.items()) if word.start < word.end]


def _units(window: Window, aggregation: Aggregation) -> dict[int, list[int]]:
    """Positions of what has a label of its own: words by their number, or pieces by their start."""
    found: dict[int, list[int]] = {}
    for position, word_id in enumerate(window.words):
        if word_id is not None:
            place = window.offsets[position][0] if aggregation in PIECES else word_id
            found.setdefault(place, []).append(position)
    return found


def _row(rows: Chances, aggregation: Aggregation) -> Chances:
    """The chances of one unit, from those of its pieces, of shape (pieces, labels)."""
    row: Chances = rows[0]
    if aggregation == "average":
        row = rows.mean(axis=0)
    elif aggregation == "max":
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
