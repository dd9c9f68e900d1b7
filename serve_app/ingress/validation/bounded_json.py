"""Parses a client's JSON, but only if it has few enough values.

The parser holds Python's global lock to the end, so even in a thread it would stall the event loop:
10 MiB of ``[],[],`` make 3.5 million objects in 0.8 s. So the values are counted before anything is
parsed. A long text costs next to nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

MAX_VALUES = 100_000
"""Items, keys, lists and objects of one document. It is far more than 2,048 texts have, and takes
about ten milliseconds to parse and validate."""

MAX_NUMBERS = 500_000
"""Items of documents with vectors or token ids. Numbers cost less than other values."""

ITEMS = b","
PARTS = b"[{:"
"""A comma precedes each item but the first. The others start a list, an object or a value."""

BACKSLASH = b"\\"

NOT_SIGNS = bytes(set(range(256)) - set(ITEMS + PARTS + b'"'))


class TooManyValues(ValueError):
    """The document has more items, or more lists, objects and keys, than are parsed."""

    def __init__(self, max_items: int) -> None:
        super().__init__(
            f"more than {max_items:,} items, or more than {MAX_VALUES:,} lists, objects and keys"
        )


def parse(text: bytes | str, max_items: int = MAX_VALUES, *, allow_inf_nan: bool = False) -> Any:
    """The value of a JSON document, nested at most 200 levels deep.

    It has at most ``max_items`` commas, and ``MAX_VALUES`` of lists, objects and keys together.
    Raises :class:`TooManyValues`, and ``ValueError`` for what is no JSON.
    """
    encoded = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    # At first the signs within texts are counted too: most documents are small even so.
    signs = encoded.translate(None, NOT_SIGNS)
    if not _is_small(signs, max_items):
        if BACKSLASH in encoded:
            unescaped = encoded.replace(b"\\\\", b"").replace(b'\\"', b"")
            signs = unescaped.translate(None, NOT_SIGNS)
        outside = _outside_texts(signs, max_items)
        if outside is None or not _is_small(outside, max_items):
            raise TooManyValues(max_items)
    return from_json(encoded, allow_inf_nan=allow_inf_nan)


def _is_small(signs: bytes, max_items: int) -> bool:
    return _count(signs, ITEMS) <= max_items and _count(signs, PARTS) <= MAX_VALUES


def _count(signs: bytes, kinds: bytes) -> int:
    return len(signs) - len(signs.translate(None, kinds))


def _outside_texts(signs: bytes, max_items: int) -> bytes | None:
    """The signs outside texts; ``None`` for more texts than an allowed document can have."""
    max_texts = max_items + 2 * MAX_VALUES
    return None if signs.count(b'"') > 2 * max_texts else b"".join(signs.split(b'"')[::2])
