"""Fields that take one text or several: only what was meant is complained about."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from serve_app.errors import field_errors
from serve_app.fields import Body, Stops, Texts


class Asked(Body):
    texts: Texts = ""
    stop: Stops | None = None


def _found(texts: Any) -> dict[str, str]:
    return _wrong(texts=texts)


def _wrong(**fields: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as refused:
        Asked.model_validate(fields)
    return field_errors(
        [{**each, "loc": ("body", *each["loc"])} for each in refused.value.errors()]
    )


def test_an_empty_list_is_told_to_have_an_item_and_not_to_be_a_string() -> None:
    assert set(found := _found([])) == {"texts"}
    assert "at least 1 item" in found["texts"]


def test_bad_items_are_named_by_their_places_and_the_list_is_not() -> None:
    assert set(_found(["fine", 7, None])) == {"texts.1", "texts.2"}


def test_what_is_neither_is_one_complaint() -> None:
    assert set(_found(7)) == {"texts"}


@pytest.mark.parametrize("texts", ["one", ["one", "two"]])
def test_one_text_and_several_pass_as_they_came(texts: str | list[str]) -> None:
    assert Asked.model_validate({"texts": texts}).texts == texts


def test_of_several_stops_only_the_bad_ones_are_named() -> None:
    assert set(_wrong(stop=["end", ""])) == {"stop.1"}
    assert set(found := _wrong(stop=["end"] * 17)) == {"stop"}
    assert "16 items" in found["stop"]
