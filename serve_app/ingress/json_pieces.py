"""Writes the JSON of many numbers in pieces, between which the event loop answers others."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np
import orjson

from deployments.seam.embeddings import Vectors
from serve_app.ingress.loop_turns import LoopTurns

PIECE_NUMBERS = 65_536
"""Numbers that are written in one go: about two milliseconds. 2,048 vectors of 4,096 dimensions
take a quarter of a second in all."""

FEW = 16
"""Values of a larger object are taken to be as large as the first, as items of lists are."""


class Base64(NamedTuple):
    """A vector that is written as a text: base64 of little-endian float32."""

    vector: Vectors


def encoded(body: Any) -> bytes:
    """``body`` as JSON. It may have arrays of numpy's, and vectors in :class:`Base64`."""
    return orjson.dumps(body, _text, orjson.OPT_SERIALIZE_NUMPY)


async def encoded_in_pieces(body: Any, turns: LoopTurns) -> bytes:
    """The same; each piece waits for its turn. Lists are cut where their items are large."""
    if _numbers(body) > PIECE_NUMBERS:
        body = await _in_pieces(body, turns)
    return encoded(body)


async def _in_pieces(value: Any, turns: LoopTurns) -> Any:
    numbers = _numbers(value)
    if numbers <= PIECE_NUMBERS:
        return value
    if isinstance(value, dict):
        return {name: await _in_pieces(item, turns) for name, item in value.items()}
    step = max(1, len(value) * PIECE_NUMBERS // numbers)
    pieces = []
    for start in range(0, len(value), step):
        await turns.next()
        pieces.append(encoded(value[start : start + step])[1:-1])
    return orjson.Fragment(b"[" + b",".join(pieces) + b"]")


def _text(value: Any) -> str:
    if not isinstance(value, Base64):
        raise TypeError(f"{type(value).__name__} is not written as JSON")
    return base64.b64encode(value.vector.astype("<f4").tobytes()).decode("ascii")


def _numbers(value: Any) -> int:
    """About how many values are written for it."""
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, Base64):
        return value.vector.size
    if isinstance(value, list) and value:
        return len(value) * _numbers(value[0])
    if isinstance(value, dict) and len(value) > FEW:
        return len(value) * _numbers(next(iter(value.values())))
    return sum(map(_numbers, value.values())) if isinstance(value, dict) else 1
