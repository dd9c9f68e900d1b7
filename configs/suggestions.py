"""Suggests the known word that was probably meant: of keys, variables, tasks, import paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel

MAX_LISTED = 24
"""Known words are listed in a hint only if there are no more than this."""

Location: TypeAlias = tuple[int | str, ...]
"""Where a problem is in a nested mapping, as pydantic tells it: keys, list indices, union tags."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that was probably meant."""
    by_form = {_form(each): each for each in known}
    found = get_close_matches(_form(word), by_form, n=1)
    return by_form[found[0]] if found else None


def hint(word: str, known: Iterable[str]) -> str:
    """``did you mean …?``, else a list of the known words, or nothing if there are too many."""
    words = sorted(set(known))
    if meant := closest(word, words):
        return f"did you mean {meant}?"
    return f"expected one of {', '.join(words)}" if 0 < len(words) <= MAX_LISTED else ""


def keys_at(model: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    """The keys that ``model`` has at the ``location`` of an error about an unknown key."""
    found = [model]
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        # A part that is not a field is the tag of a union, and selects some of its members.
        inner = [each for one in found for each in _models_of(one, part)]
        found = inner or [one for one in found if part in one.model_fields] or found
    return {name for one in found for name in one.model_fields}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models in an annotation, however nested."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from models_in(each)


def _models_of(model: type[BaseModel], key: str) -> Iterator[type[BaseModel]]:
    if key in model.model_fields:
        field = model.model_fields[key]
        yield from models_in(field.annotation)


def _form(word: str) -> str:
    return word.lower().replace("-", "_")
