"""Fields that take one text or several: only what was meant is complained about."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, ValidationError

from serve_app.ingress.validation.field_errors import field_errors
from serve_app.ingress.validation.fields import Body, Stops, Texts


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


def test_the_first_bad_item_is_named_by_its_place_and_the_list_is_not() -> None:
    assert _found(["fine", 7, None, 7]) == {"texts.1": "expected a string"}


def test_what_is_neither_is_one_complaint() -> None:
    assert set(_found(7)) == {"texts"}


@pytest.mark.parametrize("texts", ["one", ["one", "two"]])
def test_one_text_and_several_pass_as_they_came(texts: str | list[str]) -> None:
    assert Asked.model_validate({"texts": texts}).texts == texts


def test_of_several_stops_only_the_bad_ones_are_named() -> None:
    assert set(_wrong(stop=["end", ""])) == {"stop.1"}
    assert set(found := _wrong(stop=["end"] * 17)) == {"stop"}
    assert "16 items" in found["stop"]


class Inner(Body):
    name: str
    size: int = 3


class Outer(Body):
    inner: Inner
    inners: list[Inner] | None = None
    limit: int = 5
    word: str | None = None
    spelled: bool = Field(False, alias="is spelled")


@pytest.mark.parametrize("name", ["inners", "limit", "word", "is spelled"])
def test_null_for_a_field_that_may_be_left_out_is_as_left_out(name: str) -> None:
    given = {"inner": {"name": "n", "size": None}}
    body = Outer.model_validate({**given, name: None})
    assert body == Outer.model_validate({"inner": {"name": "n"}})
    assert body.model_fields_set == {"inner"}


def test_null_is_as_left_out_in_the_objects_of_lists() -> None:
    body = Outer.model_validate({"inner": {"name": "n"}, "inners": [{"name": "m", "size": None}]})
    assert body.inners == [Inner(name="m", size=3)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"inner": None}, "inner"),
        ({"inner": {"name": None}}, "inner.name"),
        ({"inner": {"name": "n"}, "inners": [None]}, "inners.0"),
        ({"inner": {"name": "n"}, "unknown": None}, "unknown"),
    ],
)
def test_null_is_no_value_of_a_required_field_nor_of_one_that_is_not_there(
    given: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate(given)
    items = [{**each, "loc": ("body", *each["loc"])} for each in refused.value.errors()]
    assert set(field_errors(items)) == {field}


def test_the_schema_says_where_null_may_stand() -> None:
    schema = Outer.model_json_schema()
    properties = schema["properties"]
    limit = {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 5, "title": "Limit"}
    assert properties["limit"] == limit
    assert properties["word"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert properties["is spelled"]["anyOf"] == [{"type": "boolean"}, {"type": "null"}]
    assert properties["inner"] == {"$ref": "#/$defs/Inner"}
    size = schema["$defs"]["Inner"]["properties"]["size"]
    assert size["anyOf"] == [{"type": "integer"}, {"type": "null"}]
