"""The detokenizer: turns the token ids of one sequence into text, incrementally.

``tokenizers.decoders.DecodeStream`` raises on vocabularies with byte fallback (tokenizers #1705):
their decoder turns a whole run of byte tokens into U+FFFD once one of them is invalid, so text that
was streamed already would change. Here each byte is decoded once, in order, as SentencePiece does:
a byte that completes no character becomes U+FFFD, and the characters beside it stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Sequence as Ids
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

from deployments.engine.tuning import DETOKENIZER_CONTEXT, MAX_HELD_TOKENS

REPLACEMENT = "\ufffd"


class TokenBytes:
    """The tokens of a vocabulary as bytes and text. Thread-safe, shared by all of its streams.

    ``bytes_known`` says that every part of a character has its bytes: GPT-2's vocabularies
    (byte-level) and those of SentencePiece with ``byte_fallback``. ``strips_space`` says that the
    decoder removes the space in front of a text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special_ids = frozenset(each for each, token in added.items() if token.special)
        kinds = set(_kinds(json.loads(tokenizer.to_str()).get("decoder")))
        self._byte_level = bool(kinds) and kinds <= {"ByteLevel", "Fuse"}
        self.byte_fallback = "ByteFallback" in kinds
        self.bytes_known = self._byte_level or self.byte_fallback
        space = tokenizer.token_to_id("<0x20>")
        self.strips_space = self.byte_fallback and space is not None and not self.decode([space])

    def has_text(self, token_id: int) -> bool:
        """False for special tokens and for ids that the tokenizer does not know."""
        known = self._tokenizer.id_to_token(token_id) is not None
        return known and token_id not in self._special_ids

    def bytes_of(self, token_id: int) -> bytes | None:
        """The bytes of a token that may be part of a character; ``None`` for other tokens."""
        token = self._tokenizer.id_to_token(token_id) or ""
        if self._byte_level:
            return byte_level(token)
        return fallback_byte(token) if self.byte_fallback else None

    def decode(self, ids: Ids[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def tail(self, ids: Ids[int]) -> list[int]:
        """The last ``DETOKENIZER_CONTEXT`` of ``ids`` that have a text."""
        found: list[int] = []
        for token_id in reversed(ids):
            if len(found) == DETOKENIZER_CONTEXT:
                break
            if self.has_text(token_id):
                found.append(token_id)
        return found[::-1]


class TextStream:
    """Detokenizes one sequence incrementally, without ever splitting a character.

    The pieces concatenate to what the sequence adds to the text of its prompt, of which
    ``prompt_ids`` are at least the last tokens. A character whose first bytes are in the prompt
    belongs to the sequence. Special tokens have no text. At most three bytes are held back where
    the bytes of tokens are known, else ``MAX_HELD_TOKENS`` tokens.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompt_ids: Ids[int] = (), vocabulary: TokenBytes | None = None
    ) -> None:
        self._vocabulary = vocabulary or TokenBytes(tokenizer)
        self._characters = _Characters(each_byte=self._vocabulary.byte_fallback)
        self._held: list[int] = []
        self._context = self._vocabulary.tail(prompt_ids)
        self._at_start = not self._context
        for token_id in self._context:  # the sequence may complete its last character
            raw = self._vocabulary.bytes_of(token_id)
            self._characters.end() if raw is None else self._characters.push(raw)
        self._characters.begin()

    def push(self, token_id: int) -> str:
        """The characters that this token completes; empty when it completes none."""
        if not self._vocabulary.has_text(token_id):
            return ""
        raw = self._vocabulary.bytes_of(token_id)
        if raw is None:
            return self._characters.end() + self._push_text(token_id)
        text = self._characters.push(raw)
        if self._at_start and self._vocabulary.strips_space:
            text = text.removeprefix(" ")
        self._remember([token_id])
        return text

    def flush(self) -> str:
        """The text that is held back at the end: incomplete characters become U+FFFD."""
        return self._characters.end() + self._release()

    def _push_text(self, token_id: int) -> str:
        self._held.append(token_id)
        text = self._added()
        unsure = text.endswith(REPLACEMENT) and not self._vocabulary.bytes_known
        if unsure and len(self._held) < MAX_HELD_TOKENS:
            return ""
        return self._release()

    def _release(self) -> str:
        text = self._added() if self._held else ""
        self._remember(self._held)
        self._held = []
        return text

    def _added(self) -> str:
        """The text of the held tokens, behind that of the tokens before them."""
        before = self._vocabulary.decode(self._context)
        return self._vocabulary.decode([*self._context, *self._held])[len(before) :]

    def _remember(self, ids: list[int]) -> None:
        self._at_start = self._at_start and not ids
        self._context = [*self._context, *ids][-DETOKENIZER_CONTEXT:]


class _Characters:
    """Decodes UTF-8 that arrives in pieces.

    Invalid bytes become one U+FFFD each with ``each_byte``, else one for as many bytes as could
    have begun a character (Unicode 16, section 3.9, "maximal subpart").
    """

    def __init__(self, *, each_byte: bool) -> None:
        self._each_byte = each_byte
        self._rest = b""
        self._earlier = 0

    def begin(self) -> None:
        """The prompt ends here: the U+FFFD of a character that it began is not shown again."""
        self._earlier = len(self._rest)

    def push(self, data: bytes) -> str:
        data, self._rest, text = self._rest + data, b"", ""
        while True:
            try:
                decoded, wrong = data.decode(), None
            except UnicodeDecodeError as error:
                decoded, wrong = data[: error.start].decode(), error
            text += decoded
            self._earlier = 0 if decoded else self._earlier
            if wrong is None:
                return text
            if wrong.reason == "unexpected end of data":
                self._rest = data[wrong.start :]
                return text
            text += self._invalid(wrong.end - wrong.start)
            data = data[wrong.end :]

    def end(self) -> str:
        """U+FFFD for a character that is incomplete."""
        rest, self._rest = self._rest, b""
        return self._invalid(len(rest)) if rest else ""

    def _invalid(self, count: int) -> str:
        """The U+FFFD for ``count`` bytes that look like the beginning of one character."""
        earlier, self._earlier = self._earlier, 0
        return REPLACEMENT * (count - earlier if self._each_byte else not earlier)


def byte_level(token: str) -> bytes:
    """The bytes of a token of a vocabulary like GPT-2's, as its decoder reads them."""
    table = _byte_of_character()
    if all(each in table for each in token):
        return bytes(table[each] for each in token)
    return token.encode()


def fallback_byte(token: str) -> bytes | None:
    """The byte that a token such as ``<0xE2>`` stands for; ``None`` for all other tokens."""
    if len(token) != 6 or not (token.startswith("<0x") and token.endswith(">")):
        return None
    try:
        return bytes.fromhex(token[3:5])
    except ValueError:
        return None


def _kinds(decoder: Any) -> Iterator[str]:
    """The types of a tokenizer's decoder and of its parts."""
    if decoder is None:
        return
    if decoder["type"] == "Sequence":
        for each in decoder["decoders"]:
            yield from _kinds(each)
    else:
        yield decoder["type"]


@lru_cache(maxsize=1)
def _byte_of_character() -> dict[str, int]:
    """GPT-2's table of printable characters that stand for bytes, reversed."""
    printable: list[Any] = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }
