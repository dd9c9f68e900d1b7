"""References in the inputs of a graph's step: strings that stand for other steps' answers.

- ``"$cap.caption"`` as a whole string is the value itself, with its type.
- ``"Describe ${cap.caption} in ${input.language}."`` has values as text within a text.
- ``"$$5"`` is a dollar sign. A single one is refused, being more likely a mistake than a price.

The first name is a step's id, or ``input`` for the request's own input. The other names are keys of
objects and places in lists, which count from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from serve_app.ingress.errors import ServiceError

INPUT = "input"
ID = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
NAME = rf"{ID}(?:\.[\w-]{{1,100}})*"
WHOLE = re.compile(rf"\$({NAME})")
PIECE = re.compile(rf"\$(?:(\$)|\{{({NAME})\}})")
PATH_CHARACTERS = re.compile(r"\{?([\w.-]*)")
LIST_INDEX = re.compile(r"[0-9]{1,9}")
MAX_SHOWN = 40
MAX_DOLLAR_SIGNS = 10_000
"""In one graph. Every reference begins with one."""

Sources: TypeAlias = Mapping[str, Any]
"""The answers of steps by their ids, and the request's input."""

Charge: TypeAlias = Callable[[Any], None]
"""Called with every value before it is put into a step's inputs, to count its size."""


class BrokenReference(ServiceError):
    """The answer has nothing at this path, or the value does not fit into a text."""

    status = 400
    error_type = "validation_error"


class ReferenceSyntaxError(ValueError):
    """A string with a dollar sign is no reference. The message says what is expected."""


@dataclass(slots=True)
class ReferenceLimits:
    """Limits of what is parsed in one graph, since parsing happens on the event loop.

    ``max_characters`` is the length of a string that has references, ``max_names`` the names in one
    reference.
    """

    max_characters: int
    max_names: int
    _signs_left: int = field(default=MAX_DOLLAR_SIGNS, init=False)

    def check_text(self, text: str) -> None:
        """Count a string before it is parsed. Raises :class:`ReferenceSyntaxError`."""
        if len(text) > self.max_characters:
            raise ReferenceSyntaxError(
                f"a text with a dollar sign has {len(text)} characters; "
                f"the limit is {self.max_characters}"
            )
        self._signs_left -= text.count("$")
        if self._signs_left < 0:
            message = f"there are more than {MAX_DOLLAR_SIGNS:,} dollar signs in the graph"
            raise ReferenceSyntaxError(message)

    def check_path(self, text: str, dollar: int) -> None:
        """Count the names behind a dollar sign before they are taken apart."""
        path = PATH_CHARACTERS.match(text, dollar + 1)
        names = 1 + (path[1].count(".") if path else 0)
        if names > self.max_names:
            raise ReferenceSyntaxError(
                f"a reference has {names} names; the limit is {self.max_names}"
            )


@dataclass(frozen=True, slots=True)
class Reference:
    """The place of a value: a step's id or ``input``, and the path from there."""

    source: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.source, *self.path))

    def value(self, sources: Sources) -> Any:
        """Raises :class:`BrokenReference` when there is nothing at this place."""
        value, passed = sources[self.source], self.source
        for name in self.path:
            value = _item(value, name, passed)
            passed = f"{passed}.{name}"
        return value


@dataclass(frozen=True, slots=True)
class Interpolation:
    """A text with references in it."""

    parts: tuple[str | Reference, ...]

    def text(self, sources: Sources, charge: Charge) -> str:
        pieces = []
        for part in self.parts:
            piece = part if isinstance(part, str) else _text_of(part, sources)
            charge(piece)
            pieces.append(piece)
        return "".join(pieces)


@dataclass(frozen=True, slots=True)
class Constant:
    """A list or an object without references, however many values it has."""

    value: Any


def parse(value: Any, limits: ReferenceLimits) -> Any:
    """A template: ``value`` with references and interpolations in the place of their strings.

    Keys of objects are left as they are. Raises :class:`ReferenceSyntaxError`.
    """
    # One fast pass in C: walking 100,000 values in Python holds the event loop for half a second.
    if isinstance(value, list | dict) and "$" not in json.dumps(value, ensure_ascii=False):
        return Constant(value)
    return _parse_item(value, limits)


def _parse_item(value: Any, limits: ReferenceLimits) -> Any:
    if isinstance(value, str):
        return _parse_text(value, limits) if "$" in value else value
    if isinstance(value, list):
        return [_parse_item(item, limits) for item in value]
    if isinstance(value, dict):
        return {key: _parse_item(item, limits) for key, item in value.items()}
    return value


def references_in(template: Any) -> Iterator[Reference]:
    """Every reference in a template."""
    if isinstance(template, Reference):
        yield template
    elif isinstance(template, Interpolation):
        yield from (part for part in template.parts if isinstance(part, Reference))
    elif isinstance(template, list | dict):
        for item in template.values() if isinstance(template, dict) else template:
            yield from references_in(item)


def fill(template: Any, sources: Sources, charge: Charge) -> Any:
    """The template with values for its references. Raises :class:`BrokenReference`."""
    if isinstance(template, Reference):
        value = template.value(sources)
        charge(value)
        return _as_json(value)
    if isinstance(template, Interpolation):
        return template.text(sources, charge)
    if isinstance(template, Constant):
        return template.value
    if isinstance(template, list):
        return [fill(item, sources, charge) for item in template]
    if isinstance(template, dict):
        return {key: fill(item, sources, charge) for key, item in template.items()}
    return template


def _parse_text(text: str, limits: ReferenceLimits) -> str | Reference | Interpolation:
    limits.check_text(text)
    if text.startswith("$"):
        limits.check_path(text, 0)
        if whole := WHOLE.fullmatch(text):
            return _reference(whole[1])
    parts: list[str | Reference] = []
    end = 0
    while (dollar := text.find("$", end)) >= 0:
        limits.check_path(text, dollar)
        piece = PIECE.match(text, dollar)
        if piece is None:
            raise ReferenceSyntaxError(
                f"{text[dollar : dollar + MAX_SHOWN]!r} is no reference: write $name.path alone, "
                "${name.path} within a text, and $$ for a dollar sign"
            )
        parts += [text[end:dollar], "$" if piece[1] else _reference(piece[2])]
        end = piece.end()
    parts.append(text[end:])
    if all(isinstance(part, str) for part in parts):
        return "".join(str(part) for part in parts)
    return Interpolation(tuple(parts))


def _reference(name: str) -> Reference:
    source, *path = name.split(".")
    return Reference(source, tuple(path))


def _item(value: Any, name: str, passed: str) -> Any:
    if isinstance(value, dict):
        if name in value:
            return value[name]
        match value:
            case {"error": {"message": why}}:
                raise BrokenReference(f"{passed} has no {name!r}: it failed ({why})")
        keys = ", ".join(repr(key[:MAX_SHOWN]) for key in islice(value, 10))
        raise BrokenReference(f"{passed} has no {name!r}" + (f"; it has {keys}" if keys else ""))
    if isinstance(value, list | tuple | np.ndarray):
        if LIST_INDEX.fullmatch(name) and int(name) < len(value):
            return value[int(name)]
        raise BrokenReference(f"{passed} has no {name!r}: it is a list of {len(value)}")
    raise BrokenReference(f"{passed} has no {name!r}: it holds no more than one value")


def _text_of(reference: Reference, sources: Sources) -> str:
    value = reference.value(sources)
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, list | tuple | dict | np.ndarray):
        raise BrokenReference(f"{reference} is no single value, so it cannot stand within a text")
    return json.dumps(_as_json(value))


def _as_json(value: Any) -> Any:
    """The value, with a list in the place of an array."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
