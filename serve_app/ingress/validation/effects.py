"""Marks at fields of request bodies that change nothing.

A field is *refused* if its type takes nothing but ``null``. It has *no effect* if it has one of the
marks below, and is *honoured* otherwise. The compatibility table is made from this, and its tests
send every field to see whether it is so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NoEffectMark:
    """The field is taken and changes nothing but, maybe, what the answer repeats."""

    about: str = ""
    repeated: bool = False


NoEffect: TypeAlias = Annotated[T, NoEffectMark()]
"""A field that is accepted, often at the one value that asks for nothing, and does nothing."""

Repeated: TypeAlias = Annotated[T, NoEffectMark("the answer repeats it", repeated=True)]
"""A field without effect that the answer repeats."""

Overruled: TypeAlias = Annotated[T, NoEffectMark("the path decides")]
"""A field whose place the path of the route takes."""
