"""Named entities across the seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens

Aggregation: TypeAlias = Literal["first", "average", "max", "simple", "none"]


@dataclass(frozen=True, slots=True)
class EntityRequest:
    """Texts to search for entities.

    Of a word's pieces the ``first``, their ``average`` or the surest (``max``) says what the whole
    word is. ``simple`` joins pieces whatever word they are of, and ``none`` joins nothing: each
    piece is an entity, under the model's own tag.
    """

    model: str
    texts: tuple[str, ...]
    aggregation: Aggregation = "first"


@dataclass(frozen=True, slots=True)
class Entity:
    """A named span: ``start`` and ``end`` index the text's characters, as Python counts them."""

    label: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class EntityResult(CountsPromptTokens):
    """One entry a text, in order: its entities in order of appearance, or why there are none."""

    items: tuple[tuple[Entity, ...] | Problem, ...]
    tokens: tuple[int, ...] = ()
