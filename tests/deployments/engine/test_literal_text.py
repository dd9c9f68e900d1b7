"""Text that a client wrote stays text, by parts of transformers that are not public."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from deployments.engine.literal_text import ControlTokenError, LiteralText

MOVED = "the pin of transformers moved: adapt deployments/engine/literal_text.py"


def test_the_private_parts_of_transformers_are_where_they_were() -> None:
    for name in ("_get_control_token_patterns", "_get_template_literal_text"):
        assert hasattr(chat_template_utils, name), MOVED
    assert hasattr(PreTrainedTokenizerBase, "_encode_without_added_tokens"), MOVED


def test_a_control_token_is_text_where_a_client_writes_it(byte_tokenizer: Tokenizer) -> None:
    literal = LiteralText(byte_tokenizer, "{{ text }}<end>", None)
    ids = literal.encode(literal.marked("No <end>.") + "<end>")
    end = byte_tokenizer.token_to_id("<end>")
    assert end is not None
    assert (ids[-1], ids.count(end)) == (end, 1)


def test_a_control_token_that_plain_text_makes_is_refused(byte_tokenizer: Tokenizer) -> None:
    with_letter = Tokenizer.from_str(byte_tokenizer.to_str())
    with_letter.add_special_tokens(["A"])
    literal = LiteralText(with_letter, "{{ text }}", None)
    with pytest.raises(ControlTokenError):
        literal.encode(literal.marked("An answer"))
