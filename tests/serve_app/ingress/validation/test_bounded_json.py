"""JSON of clients: bounded in values before it is parsed, whatever its texts look like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve_app.ingress.validation.bounded_json import MAX_NUMBERS, MAX_VALUES, TooManyValues, parse

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "value",
    [
        7,
        "a, b",
        [],
        [1, [2, {}], {"a": [None, True]}],
        {"a": "[{,", "b": ["\\", '"', '\\"', "\\\\,", "ж, [", "\u2028,"]},
        ["\\" * 7 + '",' * 3, "," * 50],
    ],
)
def test_a_document_is_its_value_whatever_its_texts_hold(value: Any) -> None:
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode(), 20) == value


def test_commas_and_brackets_of_prose_are_no_values() -> None:
    prose = 'Well, [as he said], {she} went. "Oh", said I; C:\\dir\\, and so on. ' * 60
    texts = [prose] * 2048
    assert len(prose) * 2048 > 5 * MIB
    assert json.dumps(texts).count(",") > MAX_VALUES
    assert parse(json.dumps(texts)) == texts


@pytest.mark.parametrize("most", [1, 10, 1000])
@pytest.mark.parametrize("item", ["1", '"a, b"', "[]", '{"k,": "[v\\\\"}', '"\\",["'])
def test_a_list_is_parsed_up_to_the_bound_and_not_above(item: str, most: int) -> None:
    assert len(parse("[" + ",".join([item] * (most + 1)) + "]", most)) == most + 1
    with pytest.raises(TooManyValues):
        parse("[" + ",".join([item] * (most + 2)) + "]", most)


@pytest.mark.parametrize("item", ["[]", "{}", '{"a":1}'])
def test_more_numbers_may_be_there_than_lists_objects_and_keys(item: str) -> None:
    parts = sum(map(item.count, "[{:"))
    fitting = (MAX_VALUES - 1) // parts
    assert len(parse("[" + ",".join(["1"] * MAX_NUMBERS) + "]", MAX_NUMBERS)) == MAX_NUMBERS
    assert len(parse("[" + ",".join([item] * fitting) + "]", MAX_NUMBERS)) == fitting
    with pytest.raises(TooManyValues):
        parse("[" + ",".join([item] * (fitting + 1)) + "]", MAX_NUMBERS)


@pytest.mark.parametrize(
    "document",
    [
        b"[" + b"[]," * (3 * MIB) + b"[]]",
        b"[" + b'"",' * (3 * MIB) + b'""]',
        b'{"a":' * MIB,
        b"{" + b'"a":1,' * MIB + b'"a":1}',
        b"[" + b"1," * (4 * MIB) + b"1]",
        b"[" + b'",' * (4 * MIB),
    ],
)
def test_megabytes_of_little_values_are_refused(document: bytes) -> None:
    with pytest.raises(TooManyValues):
        parse(document)


def test_one_large_text_is_one_value() -> None:
    for text in ("a" * 9 * MIB, "," * 9 * MIB, '"' * 4 * MIB, "\\" * 4 * MIB):
        assert parse(json.dumps(text), 1) == text


@pytest.mark.parametrize("document", ["", "{", "[1", '"', "NaN", "{'a': 1}", "[" * 300 + "]" * 300])
def test_what_is_no_json_is_refused(document: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - jiter's words
        parse(document)


def test_a_text_with_half_a_character_is_refused_like_any_that_is_no_json() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - jiter's words
        parse('"\ud800"')
