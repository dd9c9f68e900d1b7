"""How much may flow between the steps of one graph: bytes, values and references."""

from __future__ import annotations

from typing import Any

import numpy as np

from serve_app.ingress.errors import PayloadTooLarge

SMALL = 8
"""Bytes that a number counts, and a place in a list or an object."""

MAX_VALUES = 100_000
"""Numbers, texts, lists and objects that references may stand for: each is looked at on the event
loop, where the bytes of a few long texts cost nothing."""


class DataBudget:
    """Counts what is taken, each time that it is taken: a value used twice counts twice.

    So a graph whose every step doubles what it was given ends early instead of filling memory.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = most
        self._values_left = MAX_VALUES

    def take(self, value: Any) -> None:
        """Count a step's answer. Raises :class:`PayloadTooLarge` when that is more than is left."""
        taken = weight(value, self._left)
        if taken > self._left:
            raise PayloadTooLarge(f"more than {self.most} bytes would flow between the steps")
        self._left -= taken

    def use(self, value: Any) -> None:
        """Count what a reference stands for; its values are bounded besides its bytes."""
        self._values_left -= count(value, self._values_left)
        if self._values_left < 0:
            raise PayloadTooLarge(f"references would stand for more than {MAX_VALUES:,} values")
        self.take(value)


def count(value: Any, enough: int) -> int:
    """The values in ``value``, lists and objects included. Stops once there are over ``enough``."""
    total, rest = 0, [value]
    while rest and total <= enough:
        item = rest.pop()
        total += item.size if isinstance(item, np.ndarray) else 1
        if isinstance(item, list | tuple | dict):
            rest.extend(item.values() if isinstance(item, dict) else item)
    return total


def weight(value: Any, enough: int) -> int:
    """Roughly the bytes of ``value``. Stops counting once there are more than ``enough``."""
    total, rest = 0, [value]
    while rest and total <= enough:
        item = rest.pop()
        if isinstance(item, str):
            total += len(item) if item.isascii() else len(item.encode(errors="surrogatepass"))
        elif isinstance(item, np.ndarray):
            total += SMALL * item.size
        elif isinstance(item, list | tuple):
            total += SMALL * len(item)
            rest.extend(item)
        elif isinstance(item, dict):
            total += SMALL * len(item)
            rest.extend(item)
            rest.extend(item.values())
        else:
            total += SMALL
    return total
