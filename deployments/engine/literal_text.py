"""Encodes a chat in which control tokens that a client wrote are text, as transformers does."""

from __future__ import annotations

from collections.abc import Container

from tokenizers import Tokenizer
from transformers.utils import chat_template_utils


class ControlTokenError(ValueError):
    """A client wrote a control token that the tokenizer cannot encode as text."""


class LiteralText:
    """Marks the control tokens in a client's text, and encodes the chat that is rendered with it.

    Control tokens are special tokens and ``control_tokens``, or without these the added tokens
    that the chat ``template`` writes. Thread-safe.
    """

    def __init__(
        self, tokenizer: Tokenizer, template: str, control_tokens: Container[str] | None
    ) -> None:
        self._encoder = _Encoder(tokenizer)
        controls = _controls(tokenizer, template, control_tokens)
        self._pattern, _ = chat_template_utils._get_control_token_patterns(controls)

    def marked(self, text: str) -> str:
        """``text`` with marks around what would be control tokens."""
        marked: str = chat_template_utils.mark_control_tokens(text, self._pattern)
        return marked

    def encode(self, chat: str) -> list[int]:
        """Token ids of a rendered chat. What is marked is text, the marks are nothing.

        Raises :class:`ControlTokenError` where the tokenizer makes a control token of plain text.
        """
        try:
            ids: list[int] = chat_template_utils.encode_marked_chat(self._encoder, chat)
        except ValueError as error:
            raise ControlTokenError from error
        return ids


def _controls(
    tokenizer: Tokenizer, template: str, control_tokens: Container[str] | None
) -> tuple[str, ...]:
    written = chat_template_utils._get_template_literal_text(template)

    def is_control(token: str) -> bool:
        if control_tokens is not None:
            return token in control_tokens
        return token in written and not token.isspace()

    added = tokenizer.get_added_tokens_decoder().values()
    return tuple(each.content for each in added if each.special or is_control(each.content))


class _Encoder:
    """The part of transformers' tokenizers that ``encode_marked_chat`` uses."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # A copy, since the switch is the tokenizer's own and other threads encode with it.
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.encode_special_tokens = True
        added = tokenizer.get_added_tokens_decoder()
        self.added_tokens_encoder = {token.content: each for each, token in added.items()}

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def convert_tokens_to_ids(self, token: str) -> int | None:
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def _encode_without_added_tokens(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids)
