"""Tokenizing pairs of texts: which side is truncated, and which pairs are refused."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from deployments.encoders.tokenization import Pairs, TokenizedText, tokenize_pairs, too_long_sides
from deployments.seam.problems import Problem
from tests.deployments.families import MAX_TOKENS, tokenizer

LONG = " ".join("abcdefghij" * 3)
FULL = " ".join("abcdefghij" * 2)


@pytest.fixture(scope="module")
def bert() -> Any:
    return tokenizer()


def pairs(*given: tuple[str, str], shortened: Literal["first", "second"] = "second") -> Pairs:
    return Pairs(
        tuple(first for first, _ in given),
        tuple(second for _, second in given),
        shortened,
        "the query and the document",
    )


def words(bert: Any, made: TokenizedText | Problem) -> str:
    assert isinstance(made, TokenizedText)
    return str(bert.decode(made.features["input_ids"], skip_special_tokens=False))


def test_a_pair_is_read_together(bert: Any) -> None:
    (made,) = tokenize_pairs(bert, pairs(("a cat", "b")), MAX_TOKENS, truncate=False)
    assert words(bert, made) == "[CLS] a cat [SEP] b [SEP]"
    assert isinstance(made, TokenizedText)
    assert made.features["token_type_ids"] == [0, 0, 0, 0, 1, 1]


def test_a_pair_that_is_too_long_is_a_problem_of_its_own(bert: Any) -> None:
    given = pairs(("a", "b"), ("a", LONG), ("a", "c"))
    first, bad, last = tokenize_pairs(bert, given, MAX_TOKENS, truncate=False)
    assert isinstance(bad, Problem)
    assert bad.message.startswith("the query and the document have together 34 tokens")
    assert words(bert, first).endswith("b [SEP]")
    assert words(bert, last).endswith("c [SEP]")


@pytest.mark.parametrize("truncate", [False, True])
def test_a_pair_of_exactly_the_limit_is_not_truncated(bert: Any, truncate: bool) -> None:
    exact = " ".join("abcdefghij"[: MAX_TOKENS - 4])
    exact += " cat" * (MAX_TOKENS - 4 - len(exact.split()))
    (made,) = tokenize_pairs(bert, pairs(("a", exact)), MAX_TOKENS, truncate=truncate)
    assert isinstance(made, TokenizedText)
    assert len(made) == MAX_TOKENS
    assert exact in words(bert, made)


def test_only_the_side_that_may_be_shortened_is_cut(bert: Any) -> None:
    (document,) = tokenize_pairs(bert, pairs(("a cat", LONG)), MAX_TOKENS, truncate=True)
    assert words(bert, document).startswith("[CLS] a cat [SEP] a b c")
    assert isinstance(document, TokenizedText)
    assert len(document) == MAX_TOKENS
    premise = pairs((LONG, "this is sport"), shortened="first")
    (text,) = tokenize_pairs(bert, premise, MAX_TOKENS, truncate=True)
    assert words(bert, text).endswith("[SEP] this is sport [SEP]")


@pytest.mark.parametrize("truncate", [False, True])
def test_a_side_that_is_never_cut_may_leave_no_room(bert: Any, truncate: bool) -> None:
    made = tokenize_pairs(bert, pairs((FULL, "b"), ("a", "b")), MAX_TOKENS, truncate=truncate)
    assert isinstance(made[0], Problem)
    assert "20 tokens" in made[0].message
    assert isinstance(made[1], TokenizedText)


def test_too_long_sides_names_only_what_leaves_no_room(bert: Any) -> None:
    widest = " ".join("abcdefghij") + " cat cat"
    assert list(too_long_sides(bert, ["a", widest, widest + " cat"], MAX_TOKENS)) == [
        widest + " cat"
    ]
    assert too_long_sides(bert, [], MAX_TOKENS) == {}
