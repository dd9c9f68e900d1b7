"""The right word for a wrong one: keys of a profile, variables, tasks, paths of imports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

MAX_LISTED = 24
"""More words than that are not listed: nobody reads them all in one line."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that was probably meant."""
    by_form = {_form(each): each for each in known}
    found = get_close_matches(_form(word), by_form, n=1)
    return by_form[found[0]] if found else None


def hint(word: str, known: Iterable[str]) -> str:
    """``did you mean …?``, or the words that are known, or nothing where those are too many."""
    words = sorted(set(known))
    if meant := closest(word, words):
        return f"did you mean {meant}?"
    return f"expected one of {', '.join(words)}" if 0 < len(words) <= MAX_LISTED else ""


def keys_at(model: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    """The keys that ``model`` has where an error's ``location`` says that one is unknown."""
    found = [model]
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        # A part that is no field is the tag of a union, which narrows what it is one of.
        inner = [each for one in found for each in _models_of(one, part)]
        found = inner or [one for one in found if part in one.model_fields] or found
    return {name for one in found for name in one.model_fields}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models that an annotation mentions, however deep."""
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
