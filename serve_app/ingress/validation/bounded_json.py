"""JSON that a client wrote, parsed only if it holds few enough values.

Parsing holds Python's global lock from the first byte to the last, so a thread would not keep it
from stalling the event loop: 10 MiB of ``[],[],`` make 3.5 million objects in 0.8 s. The number of
values is therefore bounded before anything is parsed. A long text costs next to nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

MAX_VALUES = 100_000
"""Items, keys, lists and objects of one document: far more than 2,048 texts have, and parsed and
validated within some ten milliseconds."""

MAX_NUMBERS = 500_000
"""Items of the documents that hold vectors or token ids. Numbers cost less than anything else."""

ITEMS = b","
PARTS = b"[{:"
"""Of what begins an item, another one but the first; and a list, an object, a key's value."""

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
    # The signs within texts are counted first as if they were JSON's: most documents pass by that.
    if not _is_small(encoded, max_items):
        signs = _outside_texts(encoded, max_items)
        if signs is None or not _is_small(signs, max_items):
            raise TooManyValues(max_items)
    return from_json(encoded, allow_inf_nan=allow_inf_nan)


def _is_small(text: bytes, max_items: int) -> bool:
    return _count(text, ITEMS) <= max_items and _count(text, PARTS) <= MAX_VALUES


def _count(text: bytes, signs: bytes) -> int:
    return len(text) - len(text.translate(None, signs))


def _outside_texts(text: bytes, max_items: int) -> bytes | None:
    """The signs of a JSON document; ``None`` where it has more texts than a small one can have."""
    signs = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, NOT_SIGNS)
    max_texts = max_items + 2 * MAX_VALUES
    return None if signs.count(b'"') > 2 * max_texts else b"".join(signs.split(b'"')[::2])
