"""Token ids to text, piece by piece."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class TextStream:
    """Decodes one sequence incrementally, without ever splitting a character.

    The pieces concatenate to the text of the whole. Special tokens have no text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._shown = 0

    def push(self, token_id: int) -> str:
        """The characters that this token completes; empty when it completes none."""
        self._ids.append(token_id)
        piece = self._stream.step(self._tokenizer, token_id) or ""
        self._shown += len(piece)
        return piece

    def flush(self) -> str:
        """What is left at the end: bytes that no token completed, as U+FFFD."""
        whole = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        rest = whole[self._shown :]
        self._shown += len(rest)
        return rest
