"""Parts of a list that are prepared in one go, so that others need not wait for long.

A family prepares everything in one thread, and a request hands in its next part when the last one
is done: requests take turns there, and a turn takes as long as a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

ITEMS = 64
CHARACTERS = 16_384
"""Tokenizers read as many in 10 to 40 ms, by the script that they are in."""

T = TypeVar("T")


def in_parts(
    items: Sequence[T], weigh: Callable[[T], int], most: int = CHARACTERS
) -> Iterator[tuple[T, ...]]:
    """``items`` in order, in parts of up to ``ITEMS`` that weigh up to ``most`` together.

    What is heavier than that is a part by itself.
    """
    start = weight = 0
    for end, item in enumerate(items):
        own = weigh(item)
        if end > start and (end - start == ITEMS or weight + own > most):
            yield tuple(items[start:end])
            start, weight = end, 0
        weight += own
    if start < len(items):
        yield tuple(items[start:])
