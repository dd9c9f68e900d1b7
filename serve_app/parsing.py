"""JSON that a client wrote, parsed only if it holds few enough values.

Parsing holds Python's global lock from the first byte to the last, so a thread would not keep it
from stalling the event loop: 10 MiB of ``[],[],`` make 3.5 million objects in 0.8 s. The number of
values is therefore bounded before anything is parsed. A long text costs next to nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

MAX_VALUES = 100_000
"""Values in one document: far more than 2,048 texts, and parsed within a few milliseconds."""

MAX_NUMBERS = 500_000
"""The same where vectors or token ids are taken: numbers cost less than lists and objects."""

STARTS = b",[{"
"""Each value but the first follows a comma, or begins a list or an object."""

NOT_SIGNS = bytes(set(range(256)) - set(STARTS + b'"'))


class TooManyValues(ValueError):
    """The document has more values than are parsed. ``most`` is their limit."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most:,} values, counting objects and lists")
        self.most = most


def parse(text: bytes | str, most: int = MAX_VALUES, *, allow_inf_nan: bool = False) -> Any:
    """The value of a JSON document, nested at most 200 levels deep.

    Raises :class:`TooManyValues`, and ``ValueError`` for what is no JSON.
    """
    encoded = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if not _has_at_most(encoded, most):
        raise TooManyValues(most)
    return from_json(encoded, allow_inf_nan=allow_inf_nan)


def _has_at_most(text: bytes, most: int) -> bool:
    """Whether ``text`` cannot have more than ``most`` values. Keys of objects are not counted.

    The first count takes the commas and brackets within strings for values as well; most documents
    pass by that. Long prose does not, so the second count leaves the strings out.
    """
    if len(text) - len(text.translate(None, STARTS)) < most:
        return True
    signs = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, NOT_SIGNS)
    if signs.count(b'"') > 4 * most:  # each value is at most two strings, its key and itself
        return False
    outside = signs.split(b'"')[::2]
    return sum(map(len, outside)) < most
