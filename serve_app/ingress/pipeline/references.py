"""What a step's inputs take from elsewhere.

- ``"$cap.caption"``, the whole of a string: the value itself, with its type.
- ``"Describe ${cap.caption} in ${input.language}."``: values as text within a text.
- ``"$$5"``: a dollar sign. A lone one is refused, since it is more likely a mistake than a price.

Only texts with a dollar sign are read, and only as many and as long ones as
:class:`ReferenceLimits` lets.

A name is a step's id, or ``input`` for what came with the request. A path goes on through the keys
of objects and the places in lists, from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from serve_app.ingress.errors import ServiceError

INPUT = "input"
ID = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
NAME = rf"{ID}(?:\.[\w-]{{1,100}})*"
WHOLE = re.compile(rf"\$({NAME})")
PIECE = re.compile(rf"\$(?:(\$)|\{{({NAME})\}})")
PLACE = re.compile(r"[0-9]{1,9}")
MOST_SHOWN = 40
MAX_SIGNS = 10_000
"""Of ``$`` in one graph: the start of every reference, and of every ``$$``."""

Sources: TypeAlias = Mapping[str, Any]
Take: TypeAlias = Callable[[Any], None]
"""Called with every value before it is put to use: the place to count what it weighs."""


class BrokenReference(ServiceError):
    """A reference to something that an answer does not have, or that does not fit into a text."""

    status = 400
    error_type = "validation_error"


class ReferenceSyntaxError(ValueError):
    """What is written is no reference. The message says what is expected."""


@dataclass(slots=True)
class ReferenceLimits:
    """Bounds of what is read for references in one graph, which happens on the event loop.

    ``longest`` is the characters of one text, ``signs_left`` how many more dollar signs are read.
    """

    longest: int
    signs_left: int = MAX_SIGNS

    def take(self, text: str) -> None:
        """Count a text before it is read. Raises :class:`ReferenceSyntaxError`."""
        if len(text) > self.longest:
            raise ReferenceSyntaxError(
                f"a text with a dollar sign has {len(text)} characters; the limit is {self.longest}"
            )
        self.signs_left -= text.count("$")
        if self.signs_left < 0:
            raise ReferenceSyntaxError(
                f"there are more than {MAX_SIGNS:,} dollar signs in the graph"
            )


@dataclass(frozen=True, slots=True)
class Reference:
    """A value's place: a step's id or ``input``, and the path from there."""

    source: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.source, *self.path))

    def value(self, sources: Sources) -> Any:
        """Raises :class:`BrokenReference` when there is nothing at this place."""
        value, passed = sources[self.source], self.source
        for part in self.path:
            value = _within(value, part, passed)
            passed = f"{passed}.{part}"
        return value


@dataclass(frozen=True, slots=True)
class Interpolation:
    """A text with values in it."""

    parts: tuple[str | Reference, ...]

    def text(self, sources: Sources, take: Take) -> str:
        pieces = []
        for part in self.parts:
            piece = part if isinstance(part, str) else _scalar(part, sources)
            take(piece)
            pieces.append(piece)
        return "".join(pieces)


def parsed(value: Any, reading: ReferenceLimits) -> Any:
    """``value`` with a :class:`Reference` or an :class:`Interpolation` for each text that is one.

    Raises :class:`ReferenceSyntaxError`. The keys of objects are left as they are.
    """
    if isinstance(value, str):
        return _parsed_text(value, reading) if "$" in value else value
    if isinstance(value, list):
        return [parsed(item, reading) for item in value]
    if isinstance(value, dict):
        return {key: parsed(item, reading) for key, item in value.items()}
    return value


def references(template: Any) -> Iterator[Reference]:
    """Every reference of what :func:`parsed` returned."""
    if isinstance(template, Reference):
        yield template
    elif isinstance(template, Interpolation):
        yield from (part for part in template.parts if isinstance(part, Reference))
    elif isinstance(template, list | dict):
        for item in template.values() if isinstance(template, dict) else template:
            yield from references(item)


def filled(template: Any, sources: Sources, take: Take) -> Any:
    """What :func:`parsed` returned, with values for references. Raises :class:`BrokenReference`."""
    if isinstance(template, Reference):
        value = template.value(sources)
        take(value)
        return _plain(value)
    if isinstance(template, Interpolation):
        return template.text(sources, take)
    if isinstance(template, list):
        return [filled(item, sources, take) for item in template]
    if isinstance(template, dict):
        return {key: filled(item, sources, take) for key, item in template.items()}
    return template


def _parsed_text(text: str, reading: ReferenceLimits) -> str | Reference | Interpolation:
    reading.take(text)
    if whole := WHOLE.fullmatch(text):
        return _reference(whole[1])
    parts: list[str | Reference] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        piece = PIECE.match(text, dollar)
        if piece is None:
            raise ReferenceSyntaxError(
                f"{text[dollar : dollar + MOST_SHOWN]!r} is no reference: write $name.path alone, "
                "${name.path} within a text, and $$ for a dollar sign"
            )
        parts += [text[at:dollar], "$" if piece[1] else _reference(piece[2])]
        at = piece.end()
    parts.append(text[at:])
    if all(isinstance(part, str) for part in parts):
        return "".join(str(part) for part in parts)
    return Interpolation(tuple(parts))


def _reference(name: str) -> Reference:
    source, *path = name.split(".")
    return Reference(source, tuple(path))


def _within(value: Any, part: str, passed: str) -> Any:
    if isinstance(value, dict):
        if part in value:
            return value[part]
        match value:
            case {"error": {"message": why}}:
                raise BrokenReference(f"{passed} has no {part!r}: it failed ({why})")
        keys = ", ".join(repr(key[:MOST_SHOWN]) for key in islice(value, 10))
        raise BrokenReference(f"{passed} has no {part!r}" + (f"; it has {keys}" if keys else ""))
    if isinstance(value, list | tuple | np.ndarray):
        if PLACE.fullmatch(part) and int(part) < len(value):
            return value[int(part)]
        raise BrokenReference(f"{passed} has no {part!r}: it is a list of {len(value)}")
    raise BrokenReference(f"{passed} has no {part!r}: it holds no more than one value")


def _scalar(reference: Reference, sources: Sources) -> str:
    value = reference.value(sources)
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, list | tuple | dict | np.ndarray):
        raise BrokenReference(f"{reference} is no single value, so it cannot stand within a text")
    return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    """An array's values as JSON's."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
