"""Splits a long list into parts that are tokenized in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from deployments.batching.tuning import PART_CHARACTERS, PART_ITEMS

T = TypeVar("T")


def in_parts(
    items: Sequence[T], weigh: Callable[[T], int], max_weight: int = PART_CHARACTERS
) -> Iterator[tuple[T, ...]]:
    """``items`` in order, in parts of up to ``PART_ITEMS`` that weigh up to ``max_weight``.

    A heavier item is a part by itself. A family tokenizes in one thread, and a request hands in
    its next part when the last one is done: so requests take turns there, a part each.
    """
    start = weight = 0
    for end, item in enumerate(items):
        own = weigh(item)
        if end > start and (end - start == PART_ITEMS or weight + own > max_weight):
            yield tuple(items[start:end])
            start, weight = end, 0
        weight += own
    if start < len(items):
        yield tuple(items[start:])
