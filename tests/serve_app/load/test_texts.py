"""Texts have the lengths that their kind says, and are the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.load.texts import BadTextsError, texts_of


def test_short_texts_have_eight_words() -> None:
    texts = texts_of("short", seed=1)
    assert {len(texts().split()) for _ in range(50)} == {8}


def test_mixed_texts_are_mostly_short_and_sometimes_long() -> None:
    texts = texts_of("mixed", seed=1)
    lengths = sorted(len(texts().split()) for _ in range(2000))
    assert lengths[0] == 4
    assert lengths[-1] == 160
    assert 20 < lengths[1000] < 30  # the middle on a logarithmic scale is 25


def test_the_same_seed_makes_the_same_texts() -> None:
    first, again, other = (texts_of("mixed", seed) for seed in (1, 1, 2))
    made = [first() for _ in range(20)]
    assert made == [again() for _ in range(20)]
    assert made != [other() for _ in range(20)]


def test_a_file_has_one_text_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one text\n\n  another \n", encoding="utf-8")
    texts = texts_of(str(path), seed=1)
    assert {texts() for _ in range(50)} == {"one text", "another"}


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe"])
def test_a_file_without_texts_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(content)
    with pytest.raises(BadTextsError, match=r"texts\.txt"):
        texts_of(str(path), seed=1)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadTextsError, match="nowhere"):
        texts_of("nowhere", seed=1)
