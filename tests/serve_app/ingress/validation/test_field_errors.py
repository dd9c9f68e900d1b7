"""Errors by field: one of each fact, in words of this service alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, StringConstraints, ValidationError

from serve_app.ingress.errors import MAX_FIELD_ERRORS
from serve_app.ingress.validation.field_errors import field_errors
from serve_app.ingress.validation.fields import LIST, TEXT, TEXT_OR_LIST, Body, Stop, Stops

BIG = 100_000


class Part(Body):
    type: Literal["text"]
    text: str


class Inner(Body):
    name: str
    kind: Literal["a", "b"] = "a"
    off: Literal[False] | None = None


class Outer(Body):
    inner: Inner
    parts: list[Part] | None = None
    content: Annotated[Annotated[str, TEXT] | Annotated[list[Part], LIST], TEXT_OR_LIST] = ""
    nested: list[list[int]] | None = None
    bias: dict[str, Annotated[float, Field(le=100)]] | None = None
    pair: Annotated[list[Stop], Field(max_length=2)] | None = None
    stop: Stops | None = None
    code: Annotated[str, StringConstraints(pattern="^[a-z]+$", max_length=3)] | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    count: Annotated[int, Field(ge=1, le=5)] = 1
    flag: bool = False
    none: None = None


GOOD: dict[str, Any] = {"inner": {"name": "n"}}


def errors_of(**fields: Any) -> ValidationError:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate(GOOD | fields)
    return refused.value


def faults(**fields: Any) -> dict[str, str]:
    items = errors_of(**fields).errors()
    return field_errors({**each, "loc": ("body", *each["loc"])} for each in items)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"inner": 7}, {"inner": "expected an object"}),
        ({"inner": {}}, {"inner.name": "this field is required"}),
        ({"inner": {"name": 7}}, {"inner.name": "expected a string"}),
        ({"inner": {"name": "n", "kind": "c"}}, {"inner.kind": "expected 'a' or 'b'"}),
        ({"inner": {"name": "n", "off": True}}, {"inner.off": "expected false"}),
        ({"inner": {"name": "n", "nmae": 1}}, {"inner.nmae": "this field is not known here"}),
        ({"nested": 7}, {"nested": "expected a list"}),
        ({"nested": [[1], ["2"]]}, {"nested.1.0": "expected a whole number"}),
        ({"nested": [[1.5]]}, {"nested.0.0": "expected a whole number"}),
        ({"bias": []}, {"bias": "expected an object"}),
        ({"bias": {"a": 101}}, {"bias.a": "expected at most 100"}),
        ({"bias": {"a": float("nan")}}, {"bias.a": "expected a finite number"}),
        ({"pair": ["a", "b", "c"]}, {"pair": "expected at most 2 items"}),
        ({"stop": ["a", ""]}, {"stop.1": "expected at least 1 character"}),
        ({"stop": 7}, {"stop": "expected a string"}),
        ({"stop": "a" * 257}, {"stop": "expected at most 256 characters"}),
        ({"code": "A"}, {"code": "expected a string that matches ^[a-z]+$"}),
        ({"share": 0.0}, {"share": "expected more than 0"}),
        ({"share": 1.0}, {"share": "expected less than 1"}),
        ({"count": 0}, {"count": "expected at least 1"}),
        ({"count": True}, {"count": "expected a whole number"}),
        ({"flag": "yes"}, {"flag": "expected true or false"}),
        ({"none": 1}, {"none": "this cannot be set here; leave it out, or null"}),
    ],
)
def test_each_fact_is_told_once_and_in_our_words(
    fields: dict[str, Any], expected: dict[str, str]
) -> None:
    assert faults(**fields) == expected


def test_an_object_of_another_type_is_named_by_its_type_alone() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:..."}}
    assert faults(content=[image, image]) == {"content.0.type": "expected 'text'"}
    assert faults(parts=[{"text": "a"}]) == {"parts.0.type": "this field is required"}


def test_errors_beside_an_object_of_another_type_are_told_too() -> None:
    found = faults(parts=[{"type": "x"}], count=0)
    assert set(found) == {"parts.0.type", "count"}


@pytest.mark.parametrize(
    "fields",
    [
        {"parts": [{}] * BIG},
        {"content": [7] * BIG},
        {"nested": [[]] * BIG + [["x"] * BIG]},
        {"nested": ["x"] * BIG},
        {"bias": dict.fromkeys(map(str, range(BIG)), "x")},
        {"pair": [""] * BIG},
        {"stop": [7] * BIG},
        {"inner": dict.fromkeys(map(str, range(BIG)))},
        dict.fromkeys((f"key{i}" for i in range(BIG)), None),
    ],
)
def test_no_more_errors_are_made_than_are_told(fields: dict[str, Any]) -> None:
    error = errors_of(**fields)
    assert error.error_count() <= MAX_FIELD_ERRORS + 1  # and that of a field that is missing then


def test_the_first_of_many_unknown_fields_are_named() -> None:
    found = faults(**{f"key{i}": i for i in range(BIG)})
    assert list(found) == [f"key{i}" for i in range(MAX_FIELD_ERRORS)]
