"""The labels of zero-shot classification: their rules, and the default topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from configs.blank import is_blank

S = TypeVar("S", bound=Sequence[str])

MAX_LABELS = 64


def distinct(labels: S) -> S:
    """``labels`` unchanged. Raises ``ValueError`` that names the first label given twice."""
    seen: set[str] = set()
    for label in labels:
        if label in seen:
            raise ValueError(f"the label {label[:40]!r} is given twice")
        seen.add(label)
    return labels


def visible(label: str) -> str:
    """``label`` unchanged. Raises ``ValueError`` for a blank one."""
    if is_blank(label):
        raise ValueError("the label is empty, or nothing but invisible characters")
    return label


ZeroShotLabel: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256),
    AfterValidator(visible),
    Field(json_schema_extra={"pattern": r"\S"}),
]
ZeroShotLabels: TypeAlias = Annotated[
    list[ZeroShotLabel],
    Field(min_length=1, max_length=MAX_LABELS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(distinct),
]
Topics: TypeAlias = Annotated[
    tuple[ZeroShotLabel, ...], Field(min_length=1, max_length=MAX_LABELS), AfterValidator(distinct)
]

DEFAULT_TOPICS = (
    "politics",
    "business",
    "technology",
    "science",
    "health",
    "sports",
    "entertainment",
    "travel",
    "food",
    "education",
)
