"""Random JSON schemas of the keywords that can be kept to, and random texts under a grammar."""

from __future__ import annotations

import random
from typing import Any, TypeAlias

import numpy as np
from llguidance import LLMatcher

Schema: TypeAlias = dict[str, Any]

NAMES = ("a", "ab", "b", "ba", "c")
PATTERNS = ("^a", "b$", "^[ab]+$", "c", "^x-", "^$", ".", "^[^b]*$", "^(ab|c)$")
FORMATS = ("date", "time", "date-time", "email", "ipv4", "ipv6", "uuid", "hostname", "duration")
TYPES = ("null", "boolean", "integer", "string", "number", "array", "object")
VALUES: tuple[Any, ...] = (
    1,
    2,
    -3,
    1.5,
    "a",
    "abc",
    'é"\\',
    None,
    True,
    False,
    [],
    [1, 2],
    {},
    {"a": 1},
)
NUMBERS = (-(2**63), -100, -1.5, 0, 1, 2.25, 10, 2**53 + 1, 2**63 - 1, 1e-7, 0.1, 10**20)


class Schemas:
    """Schemas up to ``depth`` levels deep, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def whole(self, depth: int) -> Schema:
        made = self._schema(depth)
        root = made if isinstance(made, dict) else {}
        return {**root, "$defs": {"A": self._schema(1), "B": self._schema(depth - 1)}}

    def _schema(self, depth: int) -> Any:
        if depth <= 0:
            return self._leaf()
        made = self._draw.choice([self._object, self._object, self._array, self._choice])
        return made(depth - 1) if self._draw.random() < 0.85 else self._leaf()

    def _some(self, **keywords: Any) -> Schema:
        """About half of ``keywords``, each made by its function."""
        return {key: make() for key, make in keywords.items() if self._draw.random() < 0.5}

    def _named(self, names: tuple[str, ...], most: int, depth: int) -> Schema:
        chosen = self._draw.sample(names, self._draw.randint(0, most))
        return {name: self._schema(depth) for name in chosen}

    def _object(self, depth: int) -> Schema:
        return {
            "type": "object",
            **self._some(
                properties=lambda: self._named(NAMES, 3, depth),
                required=lambda: self._draw.sample(NAMES, self._draw.randint(0, 2)),
                additionalProperties=lambda: self._draw.choice([False, False, self._schema(depth)]),
            ),
            **(
                {}
                if self._draw.random() < 0.6
                else self._some(
                    patternProperties=lambda: self._named(PATTERNS, 1, depth),
                    minProperties=lambda: self._draw.randint(0, 3),
                    maxProperties=lambda: self._draw.randint(0, 3),
                )
            ),
        }

    def _array(self, depth: int) -> Schema:
        return {
            "type": "array",
            **self._some(
                items=lambda: self._schema(depth),
                prefixItems=lambda: [self._schema(depth)],
                minItems=lambda: self._draw.randint(0, 2),
                maxItems=lambda: self._draw.randint(0, 2),
                uniqueItems=lambda: False,
            ),
        }

    def _choice(self, depth: int) -> Any:
        keyword = self._draw.choice(["anyOf", "oneOf", "allOf"])
        branches = [self._schema(depth) for _ in range(self._draw.randint(1, 2))]
        beside = self._schema(depth) if self._draw.random() < 0.4 else {}
        return {**(beside if isinstance(beside, dict) else {}), keyword: branches}

    def _leaf(self) -> Any:
        draw = self._draw
        low, high = draw.choice(NUMBERS), draw.choice(NUMBERS)
        return draw.choice(
            [
                {"type": draw.choice(TYPES)},
                {"type": draw.sample(TYPES[:5], 2)},
                {"type": "string", "minLength": draw.randint(0, 2), "maxLength": 4},
                {"type": "string", "pattern": draw.choice(PATTERNS)},
                {"type": "string", "format": draw.choice(FORMATS)},
                {"type": "integer", "minimum": low, "maximum": high},
                {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high},
                {"type": "integer", "multipleOf": draw.choice([1, 3, 7])},
                {"const": draw.choice(VALUES)},
                {"enum": draw.sample(VALUES, draw.randint(1, 4))},
                {"const": draw.choice(NUMBERS)},
                {"$ref": draw.choice(["#", "#/$defs/A", "#/$defs/B"])},
                True,
                False,
            ]
        )


def walk(matcher: LLMatcher, seed: int, most: int = 200) -> str | None:
    """A text that ``matcher`` lets a model of bytes write; ``None`` where it becomes too long.

    Fails where nothing may follow though the text is not complete.
    """
    draw = random.Random(seed)
    matcher.reset()
    text = bytearray()
    while len(text) < most:
        if matcher.is_accepting() and (matcher.is_stopped() or draw.random() < 0.3):
            return text.decode()
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        assert not matcher.is_error(), (matcher.get_error(), bytes(text))
        allowed = np.nonzero(np.unpackbits(bits, bitorder="little")[:256])[0].tolist()
        if not allowed:
            assert matcher.is_accepting(), bytes(text)
            return text.decode()
        closing = [byte for byte in allowed if byte in b'"}],']
        byte = draw.choice(closing if closing and draw.random() < 0.5 else allowed)
        matcher.consume_token(byte)
        text.append(byte)
    return None
