"""A text is blank if it has only white space and invisible characters."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from pydantic import TypeAdapter, ValidationError

from configs.blank import is_blank
from configs.labels import ZeroShotLabels

INVISIBLE = {"Cc", "Cf", "Zs", "Zl", "Zp"}


def test_white_space_control_and_format_characters_are_blank_and_no_visible_ones() -> None:
    seen = {"L", "N", "P", "S", "M"}
    ignorable = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u2800\u3164\ufe00\ufe0f\uffa0"
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if category in INVISIBLE or character.isspace() or character in ignorable:
            assert is_blank(character), hex(code)
        elif category[0] in seen and is_blank(character):
            named = unicodedata.name(character, "")
            assert "VARIATION SELECTOR" in named or "FILLER" in named or character in ignorable, (
                hex(code)
            )


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\u200d \ufeff\n", "\x00\x07", "\u2060" * 9])
def test_a_text_without_visible_characters_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize(
    "text", ["a", " a ", "\u200ba", "é", "e\u0301", "日", "🙂", "👩\u200d💻", "\u0301", "."]
)
def test_a_text_with_a_visible_character_is_not_blank(text: str) -> None:
    assert not is_blank(text)


@pytest.mark.parametrize("label", [" ", "\u200b", "\u2060\n"])
def test_a_blank_label_is_refused(label: str) -> None:
    with pytest.raises(ValidationError, match="label"):
        TypeAdapter(ZeroShotLabels).validate_python(["sports", label])
