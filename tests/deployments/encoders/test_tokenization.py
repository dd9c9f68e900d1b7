from __future__ import annotations

from typing import Any

import pytest

from deployments.encoders.tokenization import TokenizedText, tokenize
from deployments.seam.problems import Problem
from tests.deployments import tiny

MAX_TOKENS = 6
SHORT, LONG = tiny.text(1, 2), tiny.text(*range(9))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny.tokenizer()


def lengths(made: list[TokenizedText | Problem]) -> list[int | None]:
    return [len(each) if isinstance(each, TokenizedText) else None for each in made]


def test_every_text_is_tokenized_in_its_place(tokenizer: Any) -> None:
    texts = [tiny.text(1, 2, 3), tiny.text(4), ""]
    made = tokenize(tokenizer, texts, MAX_TOKENS, truncate=False)
    assert lengths(made) == [5, 3, 2]
    assert isinstance(made[1], TokenizedText)
    assert made[1].features["input_ids"] == tokenizer(texts[1])["input_ids"]


def test_a_text_that_is_too_long_is_a_problem_of_its_own(tokenizer: Any) -> None:
    made = tokenize(tokenizer, [SHORT, LONG, SHORT], MAX_TOKENS, truncate=False)
    assert lengths(made) == [4, None, 4]
    assert isinstance(made[1], Problem)
    assert made[1].kind == "context_length"
    assert "11 tokens" in made[1].message
    assert "length is 6 tokens" in made[1].message


def test_truncating_keeps_the_start_and_the_end_token(tokenizer: Any) -> None:
    (made,) = tokenize(tokenizer, [LONG], MAX_TOKENS, truncate=True)
    assert isinstance(made, TokenizedText)
    (cut,) = tokenize(tokenizer, [tiny.text(0, 1, 2, 3)], MAX_TOKENS, truncate=False)
    assert made == cut


def test_a_text_of_exactly_the_limit_is_not_truncated(tokenizer: Any) -> None:
    exact = tiny.text(1, 2, 3, 4)
    whole, cut = (tokenize(tokenizer, [exact], MAX_TOKENS, truncate=flag) for flag in (False, True))
    assert lengths(whole) == [MAX_TOKENS]
    assert whole == cut


def test_truncating_once_does_not_truncate_the_next(tokenizer: Any) -> None:
    tokenize(tokenizer, [LONG], MAX_TOKENS, truncate=True)
    assert lengths(tokenize(tokenizer, [LONG], 100, truncate=False)) == [11]
