"""Limits: what is just within passes, what is just beyond is refused by name."""

from __future__ import annotations

import pytest

from configs.settings import Settings
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.errors import ContextLengthExceeded, ValidationFailed
from serve_app.ingress.validation.limits import (
    check_count,
    check_prompt,
    check_readable,
    check_window,
    text_problem,
)
from tests.serve_app.house import FAST, WINDOW, profile

SETTINGS = Settings(max_prompt_bytes=10, max_texts=3)
CATALOG = Catalog(profile(), SETTINGS)


@pytest.mark.parametrize("text", ["x" * 10, "é" * 5, ""])
def test_a_prompt_within_its_bytes_passes(text: str) -> None:
    check_prompt(text, SETTINGS, "prompt")
    assert text_problem(text or "x", SETTINGS) is None


@pytest.mark.parametrize("text", ["x" * 11, "é" * 6, "🙂🙂🙂"])
def test_a_prompt_is_measured_in_bytes_not_characters(text: str) -> None:
    with pytest.raises(ValidationFailed, match="the limit is 10") as caught:
        check_prompt(text, SETTINGS, "prompt")
    assert caught.value.field == "prompt"
    problem = text_problem(text, SETTINGS)
    assert problem is not None
    assert "the limit is 10" in problem.message


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_a_text_of_white_space_cannot_be_read(text: str) -> None:
    problem = text_problem(text, SETTINGS)
    assert problem is not None
    assert (problem.kind, problem.message) == ("validation", "the text is empty")


@pytest.mark.parametrize("text", ["\u200b", "\u2060 \ufeff", "\x00\x07", "\u200e\u3164"])
def test_a_text_of_what_nobody_sees_cannot_be_read_either(text: str) -> None:
    problem = text_problem(text, Settings())
    assert problem is not None
    assert problem.message == "the text has nothing but invisible characters"
    with pytest.raises(ValidationFailed, match="query has nothing but invisible characters"):
        check_readable(text, "query")


@pytest.mark.parametrize("tokens", [None, 1, WINDOW])
async def test_a_length_up_to_the_window_passes(tokens: int | None) -> None:
    check_window(tokens, await CATALOG.find(FAST), "max_length")


async def test_a_length_beyond_the_window_is_refused_by_name() -> None:
    message = f"This model's maximum context length is {WINDOW} tokens; max_length is {WINDOW + 1}."
    with pytest.raises(ContextLengthExceeded, match=message) as error:
        check_window(WINDOW + 1, await CATALOG.find(FAST), "max_length")
    assert error.value.field == "max_length"


async def test_a_model_without_a_window_bounds_nothing() -> None:
    check_window(10**9, await CATALOG.find("house/mood"), "max_length")


def test_as_many_texts_as_allowed_pass_and_one_more_does_not() -> None:
    check_count(3, SETTINGS, "texts")
    with pytest.raises(ValidationFailed, match="texts has 4 items; the limit is 3"):
        check_count(4, SETTINGS, "texts")
