"""The request and the result of named entity recognition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens

Aggregation: TypeAlias = Literal["first", "average", "max", "simple", "none"]


@dataclass(frozen=True, slots=True)
class EntityRequest:
    """Texts to search for entities.

    ``aggregation`` is as in transformers' pipeline. A word is labelled by its ``first`` token, by
    the ``average`` of its tokens' probabilities, or by its most certain token (``max``). ``simple``
    joins tokens without regard to words; ``none`` makes each token an entity, with its own tag.
    """

    model: str
    texts: tuple[str, ...]
    aggregation: Aggregation = "first"


@dataclass(frozen=True, slots=True)
class Entity:
    """A named span: ``text[start:end]``, in characters."""

    label: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class EntityResult(CountsPromptTokens):
    """For each text, in order, its entities in order of appearance, or a problem.

    ``tokens`` has the tokens read for each text.
    """

    items: tuple[tuple[Entity, ...] | Problem, ...]
    tokens: tuple[int, ...] = ()
