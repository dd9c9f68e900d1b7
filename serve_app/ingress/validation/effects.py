"""Marks at fields of request bodies that change nothing.

A field is *refused* if its type takes nothing but ``null``. It has *no effect* if it has one of the
marks below, or is within a field that has one, and is *honoured* otherwise. The compatibility table
is made from this. Its tests send each field, and compare the requests to the model and the answers
with those without the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias, TypeVar

from pydantic import AfterValidator, WithJsonSchema

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NoEffectMark:
    """The field is taken and changes nothing but, maybe, what the answer repeats."""

    about: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class NoEffectWithin:
    """Fields of an object, or of a list's objects, that have no effect in this body.

    For objects that are also part of bodies where these fields are honoured. A name is dotted:
    ``function.strict``.
    """

    names: tuple[str, ...]


NoEffect: TypeAlias = Annotated[T, NoEffectMark()]
"""A field that is accepted, often only with the value that asks for nothing, and does nothing."""

Repeated: TypeAlias = Annotated[T, NoEffectMark("the answer repeats it", repeated=True)]
"""A field without effect that the answer repeats."""

Overruled: TypeAlias = Annotated[T, NoEffectMark("the path names the model")]
"""Ignored: the path names the model."""


def _off(value: bool) -> bool:
    if value:
        raise ValueError("this cannot be honoured here; leave it out, or false")
    return value


def _greedy(value: float) -> float:
    if value != 0:
        raise ValueError("only 0 can be honoured here: this model decodes greedily")
    return value


_FALSE = WithJsonSchema({"type": "boolean", "const": False})
_ZERO = WithJsonSchema({"type": "number", "const": 0})

Off: TypeAlias = NoEffect[Annotated[bool, AfterValidator(_off), _FALSE] | None]
"""A switch of the API that can only be off here."""

GreedyTemperature: TypeAlias = NoEffect[Annotated[float, AfterValidator(_greedy), _ZERO] | None]
"""The temperature of a model that only decodes greedily."""
