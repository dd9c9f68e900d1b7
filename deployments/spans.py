"""Entities in a text, from what a token classifier says of its pieces.

A long text is read in overlapping windows. Words are kept whole: a word has the label of its first
piece (transformers' aggregation ``first``), seen in the window where it lies furthest from an edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.seam import Entity
from deployments.texts import TokenizedText

OUTSIDE = "O"
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
    """One word: ``begins`` when its label says that an entity begins here (B-)."""

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
    text: str, seen: Iterable[tuple[Window, Chances]], names: Sequence[str]
) -> tuple[Entity, ...]:
    """The entities of ``text``; chances are of shape (tokens, labels), one array a window."""
    groups: list[list[Word]] = []
    for word in _words(text, seen, names):
        if groups and _goes_on(text, groups[-1][-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return tuple(_entity(group) for group in groups if group[0].label != OUTSIDE)


def _words(text: str, seen: Iterable[tuple[Window, Chances]], names: Sequence[str]) -> list[Word]:
    """Every word once, in order, from the window that shows most of its surroundings."""
    best: dict[int, tuple[int, Word]] = {}
    for window, chances in seen:
        last = len(window.words) - 1
        for word_id, pieces in _pieces(window).items():
            margin = min(pieces[0], last - pieces[-1])
            if word_id in best and best[word_id][0] >= margin:
                continue
            start, end = window.offsets[pieces[0]][0], window.offsets[pieces[-1]][1]
            row = chances[pieces[0]]
            label, begins = _label(names[int(row.argmax())])
            span = _stripped(text, start, end)
            best[word_id] = (margin, Word(label, begins, float(row.max()), *span))
    return [word for _, (_, word) in sorted(best.items()) if word.start < word.end]


def _pieces(window: Window) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for position, word_id in enumerate(window.words):
        if word_id is not None:
            found.setdefault(word_id, []).append(position)
    return found


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
