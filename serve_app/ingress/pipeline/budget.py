"""Bounds how much data flows between the steps of one graph, in bytes and in values."""

from __future__ import annotations

from typing import Any

import numpy as np

from serve_app.ingress.errors import PayloadTooLarge

ITEM_BYTES = 8
"""The bytes counted for a number, and for an item's place in a list or an object."""

MAX_VALUES = 100_000
"""Numbers, texts, lists and objects that references may stand for. The event loop looks at each of
them, while the bytes of a few long texts cost it nothing."""


class DataBudget:
    """Counts data each time that it is used: a value that two steps refer to counts twice.

    So a graph in which every step doubles its input ends early instead of filling the memory.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._bytes_left = max_bytes
        self._values_left = MAX_VALUES

    def charge(self, value: Any) -> None:
        """Count the bytes of a step's answer. Raises :class:`PayloadTooLarge`."""
        size = byte_size(value, self._bytes_left)
        if size > self._bytes_left:
            raise PayloadTooLarge(f"more than {self.max_bytes} bytes would flow between the steps")
        self._bytes_left -= size

    def charge_reference(self, value: Any) -> None:
        """Count the values and the bytes that a reference stands for."""
        self._values_left -= value_count(value, self._values_left)
        if self._values_left < 0:
            raise PayloadTooLarge(f"references would stand for more than {MAX_VALUES:,} values")
        self.charge(value)


def value_count(value: Any, limit: int) -> int:
    """The values in ``value``, lists and objects included. Stops once there are over ``limit``."""
    total, rest = 0, [value]
    while rest and total <= limit:
        item = rest.pop()
        total += item.size if isinstance(item, np.ndarray) else 1
        if isinstance(item, list | tuple | dict):
            rest.extend(item.values() if isinstance(item, dict) else item)
    return total


def byte_size(value: Any, limit: int) -> int:
    """Roughly the bytes of ``value``. Stops counting once there are more than ``limit``."""
    total, rest = 0, [value]
    while rest and total <= limit:
        item = rest.pop()
        if isinstance(item, str):
            total += len(item) if item.isascii() else len(item.encode(errors="surrogatepass"))
        elif isinstance(item, np.ndarray):
            total += ITEM_BYTES * item.size
        elif isinstance(item, list | tuple):
            total += ITEM_BYTES * len(item)
            rest.extend(item)
        elif isinstance(item, dict):
            total += ITEM_BYTES * len(item)
            rest.extend(item)
            rest.extend(item.values())
        else:
            total += ITEM_BYTES
    return total
