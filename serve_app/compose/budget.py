"""How many bytes may flow between the steps of one graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from serve_app.errors import PayloadTooLarge

SMALL = 8
"""Bytes that a number counts, and a place in a list or an object."""


class Budget:
    """Counts what is taken, each time that it is taken: a value used twice counts twice.

    So a graph whose every step doubles what it was given ends early instead of filling memory.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = most

    def take(self, value: Any) -> None:
        """Count ``value``. Raises :class:`PayloadTooLarge` when that is more than is left."""
        taken = weight(value, self._left)
        if taken > self._left:
            raise PayloadTooLarge(f"more than {self.most} bytes would flow between the steps")
        self._left -= taken


def weight(value: Any, enough: int) -> int:
    """Roughly the bytes of ``value``. Stops counting once there are more than ``enough``."""
    total, rest = 0, [value]
    while rest and total <= enough:
        item = rest.pop()
        if isinstance(item, str):
            total += len(item.encode(errors="surrogatepass"))
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
